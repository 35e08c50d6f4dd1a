//! The three kinds of target: how to make them, and what must stand on them, by design §3 and reference §1.2, §2.1.
//!
//! Nothing here comes from the program under test: the entries are spelled out from the ranges of
//! [`dynamic_prefix`](crate::rig::dynamic_prefix).

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::lab::{ApiServer, METALLB_NAMESPACE};
use crate::rig::PATIENCE;

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// CiliumLoadBalancerIPPool
    Pool,
    /// CiliumCIDRGroup
    Group,
    /// MetalLB's IPAddressPool
    Metallb,
}

/// A part of a DynamicPrefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The range `lb`, or `metallb-lb`.
    Lb,
    /// The subnet `web`, or `metallb-web`.
    Web,
}

/// Our entries and their record.
pub(crate) type Ours = (Vec<Value>, Vec<String>);

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Pool, Self::Group, Self::Metallb];

    /// The path of an object; v2 where there are several versions.
    pub(crate) fn path(self, name: &str) -> String {
        format!("{}/{name}", self.collection())
    }

    /// The path of all of them.
    pub(crate) fn collection(self) -> String {
        match self {
            Self::Pool => "/apis/cilium.io/v2/ciliumloadbalancerippools".to_owned(),
            Self::Group => "/apis/cilium.io/v2/ciliumcidrgroups".to_owned(),
            Self::Metallb => format!("/apis/metallb.io/v1beta1/namespaces/{METALLB_NAMESPACE}/ipaddresspools"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pool => "CiliumLoadBalancerIPPool",
            Self::Group => "CiliumCIDRGroup",
            Self::Metallb => "IPAddressPool",
        }
    }

    /// The target of a in its short form.
    fn target(self, name: &str) -> String {
        match self {
            Self::Pool | Self::Group => format!("{}/{name}", self.name()),
            Self::Metallb => format!("{}/{METALLB_NAMESPACE}/{name}", self.name()),
        }
    }

    /// The name of a part for this kind.
    pub(crate) fn part(self, part: Part) -> &'static str {
        match (self, part) {
            (Self::Pool | Self::Group, Part::Lb) => "lb",
            (Self::Pool | Self::Group, Part::Web) => "web",
            (Self::Metallb, Part::Lb) => "metallb-lb",
            (Self::Metallb, Part::Web) => "metallb-web",
        }
    }

    /// A `[[binding]]` of an object to the range of a DynamicPrefix.
    pub(crate) fn binding(self, dynamic_prefix: &str, name: &str) -> String {
        let prefix_ref = format!("{dynamic_prefix}/{}", self.part(Part::Lb));
        format!("\n[[binding]]\nprefixRef = \"{prefix_ref}\"\ntarget = \"{}\"\n", self.target(name))
    }

    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Pool => "blocks",
            Self::Group => "externalCIDRs",
            Self::Metallb => "addresses",
        }
    }

    pub(crate) fn record_key(self) -> &'static str {
        match self {
            Self::Pool => "dynamic-prefix.io/managed-blocks",
            Self::Group => "dynamic-prefix.io/managed-cidrs",
            Self::Metallb => "dynamic-prefix.io/managed-addresses",
        }
    }

    /// What a user has on such an object: IPv4 and ULA, one of them in a spelling of his own.
    pub(crate) fn of_user(self) -> Vec<Value> {
        let texts = match self {
            Self::Pool => return vec![json!({"cidr": "192.0.2.0/28"}), json!({"cidr": "FD00:0:0::/64"})],
            Self::Group => ["192.0.2.0/28", "FD00:0:0::/64"],
            Self::Metallb => ["192.0.2.1-192.0.2.9", "FD00:0:0::/64"],
        };
        texts.into_iter().map(Value::from).collect()
    }

    /// What a part of the prefix of a letter is on it, and in the record.
    pub(crate) fn ours(self, part: Part, letter: char) -> Ours {
        let host = |last: &str| format!("2001:db8:{letter}:0:f000::{last}");
        let cidr = match (self, part) {
            (Self::Pool, Part::Lb) => {
                let (start, stop) = (host("1"), host("6"));
                return (vec![json!({"start": start, "stop": stop})], vec![format!("range={start}-{stop}")]);
            }
            (Self::Metallb, Part::Lb) => {
                let range = format!("{}-{}", host("11"), host("16"));
                return (vec![json!(range)], vec![format!("range={range}")]);
            }
            (Self::Group, Part::Lb) => {
                let cidrs = ["1/128", "2/127", "4/127", "6/128"].map(host);
                return (cidrs.iter().map(|cidr| json!(cidr)).collect(), cidrs.map(|c| format!("cidr={c}")).to_vec());
            }
            (Self::Pool | Self::Group, Part::Web) => format!("2001:db8:{letter}:5::/64"),
            (Self::Metallb, Part::Web) => format!("2001:db8:{letter}:6::/64"),
        };
        let entry = if self == Self::Pool { json!({"cidr": cidr}) } else { json!(cidr) };
        (vec![entry], vec![format!("cidr={cidr}")])
    }

    /// The same for several prefixes, the current one first.
    pub(crate) fn all_ours(self, part: Part, letters: &str) -> Ours {
        let each: Vec<Ours> = letters.chars().map(|letter| self.ours(part, letter)).collect();
        (each.iter().flat_map(|(list, _)| list.clone()).collect(), each.into_iter().flat_map(|(_, all)| all).collect())
    }

    /// The same while all but the first drain and no Service has an address in them: pools hold only what is in use of
    /// those (design §2, mode simple), groups are never narrowed.
    pub(crate) fn drained(self, part: Part, letters: &str) -> Ours {
        let letters = if self == Self::Group { letters } else { letters.get(..1).unwrap_or_default() };
        self.all_ours(part, letters)
    }

    /// Makes an object with the user's entries. `dynamic_prefix`: annotated for this one's part.
    pub(crate) fn create(self, server: &ApiServer, name: &str, annotated: Option<(&str, Part)>) -> Result<Value> {
        self.create_with(server, name, annotated, &self.of_user())
    }

    /// The same with these entries.
    pub(crate) fn create_with(
        self,
        server: &ApiServer,
        name: &str,
        annotated: Option<(&str, Part)>,
        entries: &[Value],
    ) -> Result<Value> {
        self.create_at(server, &self.collection(), name, annotated, entries)
    }

    /// The same in the collection of another version.
    pub(crate) fn create_at(
        self,
        server: &ApiServer,
        collection: &str,
        name: &str,
        annotated: Option<(&str, Part)>,
        entries: &[Value],
    ) -> Result<Value> {
        let annotations = annotated.map_or_else(
            || json!({}),
            |(prefix, part)| {
                let key = match part {
                    Part::Lb => "dynamic-prefix.io/address-range",
                    Part::Web => "dynamic-prefix.io/subnet",
                };
                json!({"dynamic-prefix.io/name": prefix, key: self.part(part)})
            },
        );
        let group_version: Vec<&str> = collection.trim_start_matches("/apis/").split('/').take(2).collect();
        let object = json!({
            "apiVersion": group_version.join("/"), "kind": self.name(),
            "metadata": {"name": name, "annotations": annotations},
            "spec": {self.field(): entries},
        });
        server.create(collection, &object)
    }

    /// Waits until the object holds exactly `user`'s entries and these of ours, with record and writer as design §3
    /// has them.
    pub(crate) fn wait(self, server: &ApiServer, id: &str, name: &str, user: &[Value], ours: &Ours) -> Result<Value> {
        self.wait_at(server, &self.path(name), id, user, ours)
    }

    /// The same at another path.
    pub(crate) fn wait_at(
        self,
        server: &ApiServer,
        path: &str,
        id: &str,
        user: &[Value],
        (list, record): &Ours,
    ) -> Result<Value> {
        let is_right = |object: &Value| {
            let (kept, written) = self.split(object, user);
            let annotations = &object["metadata"]["annotations"];
            kept == user
                && written == *list
                && annotations[self.record_key()] == record.join(",")
                && annotations["dynamic-prefix.io/managed-by"] == id
        };
        let found = server.wait_object(path, PATIENCE, is_right);
        found.with_context(|| format!("{path} has to hold {user:?} of the user and {list:?} of ours ({record:?})"))
    }

    /// Waits until the object holds `user`'s entries and nothing of ours: no entry, no record, no writer.
    pub(crate) fn wait_released(self, server: &ApiServer, name: &str, user: &[Value]) -> Result<Value> {
        let is_right = |object: &Value| {
            let annotations = &object["metadata"]["annotations"];
            object["spec"][self.field()] == json!(user)
                && annotations.get(self.record_key()).is_none()
                && annotations.get("dynamic-prefix.io/managed-by").is_none()
        };
        let found = server.wait_object(&self.path(name), PATIENCE, is_right);
        found.with_context(|| format!("{} has to hold {user:?} and nothing of ours", self.path(name)))
    }

    /// The user's entries on an object, and the others, each in their order.
    fn split(self, object: &Value, user: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let list = object["spec"][self.field()].as_array().cloned().unwrap_or_default();
        list.into_iter().partition(|entry| user.contains(entry))
    }
}
