//! Link events of the interfaces we listen on (netlink).
