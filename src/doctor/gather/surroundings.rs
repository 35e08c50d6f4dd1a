//! What `dyn-prefix init` goes by.

use std::path::Path;

use futures_util::future::join_all;

use super::{LISTEN, cluster, host, listen, netlink, root};
use crate::config::{self, Config, Discovery, EXTERNAL_DNS, Kind, Kubeconfig};
use crate::doctor::cluster::Connection;
use crate::init::{self, Cluster, Found, Interface, Seen};
use crate::source::dhcpv6::others::{self, Verdict};
use crate::source::link::LinkState;

/// Looks round.
pub async fn surroundings(wanted: Option<String>, kubeconfig: Option<&Path>) -> Seen {
    let (interfaces, cluster) = tokio::join!(interfaces(wanted.as_deref()), found(kubeconfig));
    let forwards = host::sysctl("all", "forwarding").is_some_and(|value| value != 0);
    Seen { wanted, interfaces, forwards, cluster }
}

async fn interfaces(wanted: Option<&str>) -> Vec<Interface> {
    let Ok(links) = netlink::links().await else { return Vec::new() };
    let tables = netlink::tables().await;
    let is_way_out = |name: &str| {
        let (link, routes) = (links.get(name), tables.routes.as_ref());
        link.zip(routes.ok()).is_some_and(|(link, routes)| routes.iter().any(|route| route.is_default_by(link.ifindex)))
    };
    let looks = init::to_look_at(links.names(), wanted, is_way_out)
        .into_iter()
        .filter_map(|name| links.get(&name).map(|link| (is_way_out(&name), name, link)))
        .map(|(default_route, name, link)| interface(name, link, default_route));
    join_all(looks).await
}

async fn interface(name: String, link: LinkState, default_route: bool) -> Interface {
    let routers = if link.up { listen::listen(&name, &link, LISTEN).await } else { Ok(Vec::new()) };
    let (interface, ifindex) = (name.clone(), link.ifindex);
    let looking = tokio::task::spawn_blocking(move || others::judge(&others::gather(&interface, ifindex, root())));
    let client = looking.await.unwrap_or(Verdict::Free);
    Interface { name, can_send: link.up && link.can_send(), default_route, routers, client }
}

async fn found(kubeconfig: Option<&Path>) -> Option<Cluster> {
    let path = kubeconfig?;
    let entry = config::Cluster {
        name: "default".to_owned(),
        kubeconfig: Kubeconfig::File(path.to_owned()),
        context: None,
        discovery: Discovery::Default,
        dry_run: false,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
        events: false,
        publish_status: false,
    };
    let common = cluster::Common {
        daemon_id: String::new(),
        prefixes: Vec::new(),
        unknown: Vec::new(),
        now: crate::clock::epoch().wall_now(),
        account: None,
    };
    let facts = cluster::facts(&Config::default(), &entry, &common).await;
    let found = match facts.connection {
        Connection::Unusable(why) => Err(why.text),
        Connection::Made { answer: Err(failure), .. } => Err(failure.message().to_owned()),
        Connection::Made { answer: Ok(seen), .. } => {
            let mut found = Found { version: seen.version, ..Found::default() };
            for (kind, objects) in seen.objects {
                match objects {
                    Ok(objects) if kind != Kind::Service => found.objects.extend(objects),
                    Ok(_services) => {}
                    Err(why) => found.unread.push((kind, why)),
                }
            }
            Ok(found)
        }
    };
    Some(Cluster { kubeconfig: path.display().to_string(), found })
}
