//! The prefixes of the ISP, and what each makes of the pools.

use std::fmt;

use ipnet::Ipv6Net;

/// One of the prefixes that the ISP delegates to this customer: a /56. The link has the first /64 of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix(u16);

pub(crate) const FIRST: Prefix = Prefix(0x1a00);
pub(crate) const SECOND: Prefix = Prefix(0x2b00);
pub(crate) const THIRD: Prefix = Prefix(0x3c00);

impl Prefix {
    /// What Router Advertisements say.
    pub(crate) fn on_link(self) -> Ipv6Net {
        Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2001, 0xdb8, self.0, 0, 0, 0, 0, 0), 64)
    }

    /// What is delegated.
    pub(crate) fn delegation(self) -> Ipv6Net {
        Ipv6Net::new_assert(self.on_link().addr(), 56)
    }

    /// The first and the last address of the addressRange "loadbalancers".
    pub(crate) fn range(self) -> (String, String) {
        let Self(part) = self;
        (format!("2001:db8:{part:x}:0:f000::"), format!("2001:db8:{part:x}:0:f000::ffff"))
    }

    /// The addresses that Services have, one of each pool.
    pub(crate) fn in_use(self) -> [String; 2] {
        let Self(part) = self;
        [format!("2001:db8:{part:x}:0:f000::7"), format!("2001:db8:{part:x}:5::7")]
    }

    /// The subnet "services", index 5.
    pub(crate) fn subnet(self) -> String {
        format!("2001:db8:{:x}:5::/64", self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2001:db8:{:x}::/56", self.0)
    }
}

/// What the daemon is told: the file that it reads, apart from paths.
pub(crate) const CONFIGURATION: &str = r#"[[dynamicPrefix]]
name = "home-ipv6"
acquisition.dhcpv6 = { interface = "wan", requestedPrefixLength = 56, reconfigure = true }
addressRanges = [{ name = "loadbalancers", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }]
subnets = [{ name = "services", index = 5, prefixLength = 64 }]
"#;
