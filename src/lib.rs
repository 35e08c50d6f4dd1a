//! `dyn-prefix` follows a changing IPv6 prefix on one host and keeps Kubernetes clusters on it.
//!
//! # Bird's eye
//!
//! A host is delegated its prefix by DHCPv6 (or watches another client that is), or hears it in Router Advertisements (or
//! sees it in the addresses that another program gives an interface, asks a service on the Internet, or is told a fixed
//! one). The daemon decides which prefix is in use and which former ones still drain, computes the ranges that the
//! configuration asks for, and makes the pools and CIDR groups of one or many clusters hold them: its own entries, beside
//! whatever the user wrote. Services move along without a gap: each asks for its new address beside the old one, and DNS
//! names it once it is there. Files and commands of this host follow the same ranges.
//!
//! ```text
//!  sources (sockets)       decisions (pure)                              targets (sockets)
//!  DHCPv6 clients ────────┐
//!  observed clients ──────┤
//!  router advertisements ─┤ reports ┌─────────┐ snapshot ┌──────┐ wanted  ┌─ cluster "home": island ⇄ driver
//!  interface, http ───────┼───────► │ arbiter │ ───────► │ plan │ ──────► ├─ cluster "lab":  island ⇄ driver
//!  static ────────────────┤         └─────────┘          └──────┘ (latest ├─ this host: hooks and files
//!  links (netlink) ───────┘           ▲    │ now                   value) │ updates
//!                              store ─┘    └──► status ◄──────────────────┘
//!                                                └─► command line, journal, sd_notify
//! ```
//!
//! One task owns everything that changes: [`daemon`] feeds one input to the [`daemon::coordinator`], hands out what
//! follows from it and waits for the next input or deadline. Sources and clusters have a task each and share no memory
//! with it or with each other: what they hear are latest values, what they say are messages.
//!
//! **Deciders** take inputs and the time as arguments and give outputs: `handle_*(input, now)`, `poll_timeout()`,
//! `poll_*()`. **Drivers** own a socket, a client or a file and turn bytes into inputs and outputs into bytes. All that
//! is hard is in the deciders, where tests run it in virtual time.
//!
//! # Code map
//!
//! | module | what | kind |
//! |---|---|---|
//! | [`prefix`], [`time`] | the words that all share: networks, intervals, instants, deadlines | decider |
//! | [`config`] | the file: key table, reader, rules; findings with line and column ([`config::file`] reads it) | decider |
//! | [`source`] | what a source says: offers and states | decider |
//! | [`source::ra`] | Router Advertisements: `packet`, `table`, `router`, `solicit` decide; `socket`, `driver` do | both |
//! | [`source::dhcpv6::wire`] | DHCPv6 messages: a strict scan before anything is decoded; what is sent; `Authentication` | decider |
//! | [`source::dhcpv6::client`] | the DHCPv6 client of an interface: states, exchanges, leases, doubts | decider |
//! | [`source::dhcpv6::port`], [`source::dhcpv6::others`], [`source::dhcpv6::owner`] | whether UDP port 546 may be taken, and whose it is otherwise | both |
//! | [`source::dhcpv6::driver`], [`source::dhcpv6::socket`], [`source::dhcpv6::route`] | its socket and timer, and the unreachable route | driver |
//! | [`source::observe`] | the DHCPv6 client of somebody else: `packet`, `exchange`, `leases`, `evidence`, `filed`, `asking`, `onlink`, `observer`, `sentry` decide; `socket`, `netlink`, `files`, `networkctl`, `driver` do | both |
//! | [`source::interface`] | the addresses of an interface: `addresses`, `table` decide; `driver` does | both |
//! | [`source::http`] | what a service answers: `answer`, `asker` decide; `client`, `driver` do | both |
//! | [`source::link`] | the host's interfaces, by netlink | driver |
//! | `source::head` | what the driver of every source waits for | driver |
//! | [`arbiter`] | which prefix is in use, which ones drain, since when and until when | decider |
//! | [`plan`] | every range, subnet and object for every generation known | decider |
//! | [`plan::service`](mod@plan::service) | who manages a Service, its host part and the addresses that it makes | decider |
//! | [`cluster::island`] | one cluster: what its objects hold, which patch to send next, when to try again | decider |
//! | [`cluster::transition`] | mode ha: the next step of one Service (`carrier`), what a pool should hold of each generation (`share`) | decider |
//! | [`cluster::entry`], [`cluster::object`], [`cluster::ownership`] | the lists on objects, and whose an entry is | decider |
//! | [`cluster::service`], [`cluster::addresses`] | a Service as it is: who gives it addresses, what it asks for; whose an address in an annotation is | decider |
//! | [`cluster::mirror`], [`cluster::notice`] | objects of kind DynamicPrefix (`publishStatus`), Kubernetes events: what to send next | decider |
//! | [`cluster::schema`] | which Cilium is installed, as far as its definitions tell | decider |
//! | [`cluster::access`], [`cluster::admin`] | asks what the account may do; makes it, by an administrator | driver |
//! | [`cluster::driver`] | credentials, connection, discovery, watches, writes | driver |
//! | [`host`] | hooks and files of this host: `decide`, `hook`, `file`, `template` decide; `run`, `write` do | both |
//! | [`rbac`] | what the account of the daemon may do and why, as a table and as manifests | decider |
//! | [`daemon::coordinator`] | the one owner of arbiters, reports, targets, conditions | decider |
//! | [`daemon::delegation`], `daemon::clients` | who the DHCPv6 clients are, what they must remember, how a delegation is given back | decider |
//! | [`daemon::choice`] | `acquisition = "auto"`: which source, and whether it stays (`daemon::choosing` looks round and listens) | decider |
//! | [`daemon::reporting`] | what `dyn-prefix report` says of another client's delegation, and what follows from it (`daemon::saying` waits) | decider |
//! | [`daemon::pause`], [`daemon::take_over`], [`daemon::parting`] | what a person withdraws or takes over; clusters that leave the configuration | decider |
//! | [`daemon::alone`], [`daemon::shadow`], [`daemon::ear`] | `withdraw` without a daemon; the real objects and sources looked at for `plan --live` and `--dry-run` | driver |
//! | [`daemon::view`], [`status`] | the status value, for `status` and `plan` alike | decider |
//! | [`daemon`] | the loop, the tasks, the supervisor's side, saving | driver |
//! | [`record`] | every input of the sources with its time, as a file (`recorder` writes it) | both |
//! | [`replay`] | runs such a file again, in virtual time | decider |
//! | [`spool`] | reports that wait beside the control socket: [`spool::entry`] is what they are worth (`daemon::spooled` takes them up) | both |
//! | [`store`] | the state directory ([`store::state`]: what is in it) | both |
//! | [`metrics`] | the text of `/metrics`, and what is counted | decider |
//! | [`listen`] | `/metrics`, `/status`, `/healthz`, `/readyz` by HTTP | driver |
//! | [`control`] | the control socket, both sides | driver |
//! | [`accept`] | accepts the connections of both, and goes on when the host is short of something | driver |
//! | [`log`] | the journal; [`log::record`] has every kind of line | driver |
//! | [`clock`] | the only reader of clocks, and the timer | driver |
//! | [`doctor`] | what can be wrong and how to mend it: checks over facts ([`doctor::gather`] reads them) | both |
//! | [`mod@init`] | a configuration to start from, of what was seen | decider |
//! | [`manual`] | the manual pages, from the key table and the command line's definition | decider |
//! | [`convert`] | what an in-cluster operator was told, as a configuration of ours | decider |
//! | [`cli`] | the commands; `cli::args`: what they accept | driver |
//!
//! # Invariants
//!
//! Most are absences, which nobody sees by reading one place. `tests/it/tidy.rs` holds those that a text search can.
//!
//! * Deciders never read a clock, a file, the environment or random numbers, never wait and never spawn.
//! * Sources know no clusters, and clusters no sources; the words they share are [`prefix`], [`plan`] and [`time`].
//! * A cluster never learns of the past: it gets the whole wanted state and makes the world equal to it.
//! * There is no plan before the first opinion: "not known yet" and "publish nothing" are different values.
//! * Nothing is removed from an object that is not recorded as ours, on the object or in the store.
//! * No step of a Service is taken before the one before it is *seen*: nothing that was merely written counts as done, and
//!   no progress is stored, so that a restart in any step goes on from what the cluster shows.
//! * DNS never names, on our behalf, an address that is not in the status of the Service; while a range is bound to a pool,
//!   the pool never loses an address that a Service asks for on our behalf.
//! * A Service is never left asking only for addresses that nobody can serve: what it asks for in a range leaves before
//!   the range does, also when something is wrong with it.
//! * A list of addresses on a Service with an IPv4 address holds that, too: without it both allocators would take it.
//! * A change of one Service costs a look at what it concerns (`cluster::island::books`), not at all others.
//! * Nothing is written when nothing changed; a refreshed lifetime does not change objects, and the
//!   store at most every ten minutes.
//! * Nothing is withdrawn at a stop or a crash. No DHCPv6 client sends a Release unless `dyn-prefix dhcp-release` asks for
//!   it, and none does before the prefix has left the targets.
//! * Who a DHCPv6 client is hangs on no interface, no card and no order in the file.
//! * UDP port 546 is not taken on an interface where another DHCPv6 client was seen in this boot, unless `takeOver` says
//!   so.
//! * Nothing is ever sent for a client that is observed, and no Reply counts whose exchange was not seen to leave the host.
//! * No datagram is decoded that the strict scan has not let through.
//! * No cluster waits for another one: each has its task, its client, its back-off and a queue of one.
//! * Nothing waits for a Kubernetes event, and who reads by HTTP can take neither time nor memory from the rest.
//! * Nothing that was reported is lost because the daemon was away, and nothing is taken twice: only the daemon takes
//!   reports away that wait, and it listens before it looks.
//! * No error of one entry, object or cluster stops its neighbours; no wrong file stops a running daemon.
//! * No task ends unnoticed: one that does ends the process, with its name in the journal.
//! * Nothing polls, except `acquisition.http`, and for a source or cluster that cannot be reached.
//! * Nothing but [`log::emit`] writes to the journal above the level debug.
//!
//! # Where a change goes
//!
//! | change | place |
//! |---|---|
//! | another key in the file | [`config::keys`], its rule in `config::check`, a bad file in `tests/config/bad`, the example, `packaging/man/keys.text` |
//! | another command | `cli::args`, which the build of the manual includes, and a file beside it |
//! | another source | a module in [`source`] with a decider and a driver; [`daemon`] starts it |
//! | another DHCPv6 option | [`source::dhcpv6::wire`]; `client::message` sends it, `client::receive` takes it |
//! | another answer of a DHCPv6 server | `client::reply` and `client::select` in [`source::dhcpv6`]; a test with its T-number |
//! | another program that runs a DHCPv6 client | [`source::dhcpv6::others`]; the routes it makes: `evidence` in [`source::observe`] |
//! | which prefix wins | [`arbiter`] |
//! | another way to cut a prefix | [`plan`] |
//! | another kind of object | [`config::Kind`], [`cluster::object`], [`cluster::entry`] |
//! | another step of a Service, or when one is taken | [`cluster::transition::carrier`]; its tests against models of LB-IPAM, MetalLB and external-dns |
//! | what a pool holds while Services move | [`cluster::transition::share`] |
//! | another allocator of addresses | [`cluster::transition::Allocator`], [`cluster::service`]; `cluster::island::books` (when a pool of it offers an address) |
//! | another annotation of a Service | [`plan::annotation`] (what the user writes), [`cluster::service`] (what we write) |
//! | who manages a Service | [`plan::service`](mod@plan::service) |
//! | another right that the daemon needs in a cluster | [`rbac::needs`] |
//! | what is run or written on this host | [`host`]; a field of a template: [`host::template`] |
//! | another failure of an API server | `cluster::failure` (what it means), [`cluster::island`] (when to try again) |
//! | another field in `status` | [`status`] and [`daemon::view`]; fields are only ever added |
//! | another metric | [`metrics`]; what it counts, if the status does not say it: [`metrics::counters`] |
//! | another line in the journal | [`log::record`], with a MESSAGE_ID of its own |
//! | something else that can be wrong | [`doctor`]: a fact, a check with its test, a gatherer |
//! | another input of a source's decider | [`record::Event`], its driver's tape, [`replay`] |
//! | something that must survive a restart | [`store::state`], readable by the version before |

pub mod accept;
pub mod arbiter;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod control;
pub mod convert;
pub mod daemon;
pub mod doctor;
pub mod host;
pub mod init;
pub mod listen;
pub mod log;
pub mod manual;
pub mod metrics;
pub mod plan;
pub mod prefix;
pub mod rbac;
pub mod record;
pub mod replay;
pub mod source;
pub mod spool;
pub mod status;
pub mod store;
pub mod time;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
