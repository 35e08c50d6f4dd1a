//! Looks a datagram over before dhcproto sees it.
