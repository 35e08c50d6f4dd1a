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

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind.as_str(), self.name),
            None => write!(f, "{}/{}", self.kind.as_str(), self.name),
        }
    }
}
