//! The transition in virtual time: small models of LB-IPAM, of MetalLB and of what external-dns reads, our two functions
//! in a thin loop between them, and what must hold after every event.

mod carriers;
mod cilium;
mod invariants;
mod judge;
mod metallb;
mod ours;
mod pools;
mod random;
mod scenarios;
mod troubles;
mod world;
