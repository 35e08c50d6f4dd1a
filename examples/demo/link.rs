//! The cable between the two namespaces, by rtnetlink.

use std::fs::File;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use netlink_packet_route::address::AddressHeaderFlags;
use rtnetlink::{Handle, LinkUnspec, LinkVeth};

/// The interface of the ISP's router.
pub(crate) const ISP: &str = "isp";
/// The interface of the host.
pub(crate) const WAN: &str = "wan";

/// Makes a veth pair in the namespace of this thread, and gives one end of it to the namespace `other`.
pub(crate) async fn lay(other: &File) -> anyhow::Result<()> {
    let links = open()?;
    let pair = LinkVeth::new(ISP, WAN).build();
    links.link().add(pair).execute().await.context("cannot make a veth pair (kernel module veth)")?;
    let index = index(&links, WAN).await?;
    let give = LinkUnspec::new_with_index(index).setns_by_fd(other.as_raw_fd()).build();
    links.link().change(give).execute().await.context("cannot move an interface into another namespace")
}

/// Brings an interface of this thread's namespace up, with a link-local address that can be used at once. Returns its
/// index.
pub(crate) async fn up(name: &str, address: Ipv6Addr) -> anyhow::Result<u32> {
    let links = open()?;
    let index = index(&links, name).await?;
    links.link().change(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    let mut add = links.address().add(index, address.into(), 64);
    // Nobody else is on this cable, so nothing is gained by a second of duplicate address detection.
    add.message_mut().header.flags |= AddressHeaderFlags::Nodad;
    add.execute().await.with_context(|| format!("cannot give {name} the address {address}: is IPv6 switched off?"))?;
    Ok(index)
}

/// Takes an interface of this thread's namespace down: the other end loses its carrier.
pub(crate) async fn down(name: &str) -> anyhow::Result<()> {
    let links = open()?;
    let index = index(&links, name).await?;
    let down = LinkUnspec::new_with_index(index).down().build();
    links.link().change(down).execute().await.with_context(|| format!("cannot take {name} down"))
}

/// Brings the loopback interface up.
pub(crate) async fn loopback() -> anyhow::Result<()> {
    let links = open()?;
    let index = index(&links, "lo").await?;
    links.link().change(LinkUnspec::new_with_index(index).up().build()).execute().await.context("lo")
}

fn open() -> anyhow::Result<Handle> {
    let (connection, handle, _) = rtnetlink::new_connection().context("cannot open a netlink socket")?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn index(links: &Handle, name: &str) -> anyhow::Result<u32> {
    let mut found = links.link().get().match_name(name.to_owned()).execute();
    let link = found.try_next().await?.with_context(|| format!("there is no interface {name}"))?;
    Ok(link.header.index)
}
