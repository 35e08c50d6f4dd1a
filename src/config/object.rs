//! What the file says about objects of a cluster: bindings, Services, and how objects are named.

use std::net::Ipv6Addr;

/// `[[binding]]`: ranges of a DynamicPrefix that belong on one object of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `name`, unique; made from cluster and target when absent.
    pub name: String,
    /// The cluster it is for.
    pub cluster: String,
    /// `prefixRef.name`
    pub dynamic_prefix: String,
    /// Which part of the prefix.
    pub part: Part,
    /// `target`
    pub target: ObjectRef,
    /// `updateStrategy.type`
    pub strategy: Strategy,
}

/// `[[service]]`: a Service of one cluster that gets a fixed host part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The cluster it is for.
    pub cluster: String,
    /// `namespace` and `name`; the kind is [`Kind::Service`].
    pub target: ObjectRef,
    /// `prefixRef.name`
    pub dynamic_prefix: String,
    /// The part of the prefix that its address lies in.
    pub part: Part,
    /// `suffix`: the host part, counted from the prefix; `None`: that of the address it has.
    pub suffix: Option<Ipv6Addr>,
}

/// Which part of a DynamicPrefix belongs on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The named ranges and subnets, in this order.
    Named(Vec<String>),
    /// The whole prefix.
    Whole,
}

/// `updateStrategy.type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Other entries of the list are kept.
    Append,
    /// The list is ours.
    Replace,
}

/// The kinds of object we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// cilium.io CiliumLoadBalancerIPPool, `spec.blocks`
    CiliumLoadBalancerIPPool,
    /// cilium.io CiliumCIDRGroup, `spec.externalCIDRs`
    CiliumCIDRGroup,
    /// metallb.io IPAddressPool, `spec.addresses`
    IPAddressPool,
    /// A Service of type LoadBalancer: the addresses that it asks for, and those that DNS names for it.
    Service,
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: [Self; 4] =
        [Self::CiliumLoadBalancerIPPool, Self::CiliumCIDRGroup, Self::IPAddressPool, Self::Service];

    /// The kinds that a binding may name: they hold a list of ranges.
    pub const TARGETS: [Self; 3] = [Self::CiliumLoadBalancerIPPool, Self::CiliumCIDRGroup, Self::IPAddressPool];

    /// The Kubernetes kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CiliumLoadBalancerIPPool => "CiliumLoadBalancerIPPool",
            Self::CiliumCIDRGroup => "CiliumCIDRGroup",
            Self::IPAddressPool => "IPAddressPool",
            Self::Service => "Service",
        }
    }

    /// Whether its objects live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        matches!(self, Self::IPAddressPool | Self::Service)
    }

    /// Whether addresses are handed out from it, so that no two may hold the same one.
    pub const fn is_pool(self) -> bool {
        matches!(self, Self::CiliumLoadBalancerIPPool | Self::IPAddressPool)
    }
}

/// Names an object of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, exactly when the kind is namespaced.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl std::str::FromStr for ObjectRef {
    type Err = String;

    /// Reads what [`Display`](std::fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let kind = parts.first().and_then(|name| Kind::ALL.into_iter().find(|kind| kind.as_str() == *name));
        let (kind, namespace, name) = match (kind, parts.as_slice()) {
            (Some(kind), [_, name]) if !kind.is_namespaced() => (kind, None, *name),
            (Some(kind), [_, namespace, name]) if kind.is_namespaced() && !namespace.is_empty() => {
                (kind, Some((*namespace).to_owned()), *name)
            }
            _ => (Kind::Service, None, ""),
        };
        if name.is_empty() {
            return Err(format!(
                "\"{text}\" names no object; write it like CiliumLoadBalancerIPPool/NAME, CiliumCIDRGroup/NAME, \
                 IPAddressPool/NAMESPACE/NAME or Service/NAMESPACE/NAME"
            ));
        }
        Ok(Self { kind, namespace, name: name.to_owned() })
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind.as_str(), self.name),
            None => write!(f, "{}/{}", self.kind.as_str(), self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_is_written_and_nothing_else_is() {
        for text in
            ["CiliumLoadBalancerIPPool/pool", "CiliumCIDRGroup/g", "IPAddressPool/metallb-system/public", "Service/a/b"]
        {
            assert_eq!(text.parse::<ObjectRef>().unwrap().to_string(), text);
        }
        for text in ["", "pool", "Service/front", "Service//front", "CiliumCIDRGroup/a/b", "CiliumCIDRGroup/", "Pod/a"]
        {
            assert!(text.parse::<ObjectRef>().unwrap_err().contains("write it like"), "{text}");
        }
    }
}
