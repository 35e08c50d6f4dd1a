//! The account of the daemon in a cluster, as Kubernetes objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use super::{Need, Place, yaml};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What the objects are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The name of all of them.
    pub name: String,
    /// The namespace of the ServiceAccount and its Secret.
    pub namespace: String,
}

/// How the daemon gets the token of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// From a Secret, and it does not expire.
    Secret,
    /// By a TokenRequest, and it expires.
    Requested,
    /// It runs as a pod of this account, and finds it there.
    Mounted,
}

/// An object to apply, and what to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The object.
    pub object: Value,
    comment: String,
    /// What to say about each rule of a role.
    rules: Vec<String>,
}

impl Document {
    fn new(object: Value, comment: &str) -> Self {
        Self { object, comment: comment.to_owned(), rules: Vec::new() }
    }

    /// `kind`
    pub fn kind(&self) -> &str {
        self.object["kind"].as_str().unwrap_or_default()
    }

    /// `metadata.name`
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `metadata.namespace`, if it lives in one.
    pub fn namespace(&self) -> Option<&str> {
        self.object["metadata"]["namespace"].as_str()
    }

    /// Its path in the API.
    pub fn path(&self) -> String {
        let version = self.object["apiVersion"].as_str().unwrap_or_default();
        let root = if version.contains('/') { "apis" } else { "api" };
        let namespace = self.namespace().map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        // All kinds that are made here have this plural.
        format!("/{root}/{version}{namespace}/{}s/{}", self.kind().to_lowercase(), self.name())
    }
}

/// The account and what it may do, in the order in which it is to be applied.
pub fn documents(needs: &[Need], names: &Names, token: Token) -> Vec<Document> {
    let mut places: BTreeMap<&Place, Vec<&Need>> = BTreeMap::new();
    for need in needs {
        places.entry(&need.place).or_default().push(need);
    }
    let secret = (token == Token::Secret).then(|| secret(names));
    let roles = places.into_iter().flat_map(|(place, needs)| [role(place, &needs, names), binding(place, names)]);
    [account(names, token)].into_iter().chain(secret).chain(roles).collect()
}

fn account(names: &Names, token: Token) -> Document {
    let mut object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": names.name, "namespace": names.namespace},
    });
    if token == Token::Mounted {
        return Document::new(object, "");
    }
    object["automountServiceAccountToken"] = Value::Bool(false);
    Document::new(object, "The daemon runs outside of the cluster: no pod has a use for this account.")
}

/// The Secret that keeps a token which does not expire.
pub fn secret(names: &Names) -> Document {
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": names.name, "namespace": names.namespace,
            "annotations": {"kubernetes.io/service-account.name": names.name},
        },
    });
    Document::new(object, "A token that does not expire. To revoke it, delete this Secret.")
}

fn role(place: &Place, needs: &[&Need], names: &Names) -> Document {
    let kind = if *place == Place::Cluster { "ClusterRole" } else { "Role" };
    let rules: Vec<Value> = needs.iter().map(|need| rule(need)).collect();
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata(place, names), "rules": rules,
    });
    let remark = |need: &&Need| format!("{}\nWithout it: {}", need.reason, lower(need.without));
    Document { object, comment: String::new(), rules: needs.iter().map(remark).collect() }
}

fn rule(need: &Need) -> Value {
    let mut rule = json!({"apiGroups": [need.group], "resources": [need.resource]});
    if !need.names.is_empty() {
        rule["resourceNames"] = json!(need.names);
    }
    rule["verbs"] = json!(need.verbs);
    rule
}

fn binding(place: &Place, names: &Names) -> Document {
    let role = if *place == Place::Cluster { "ClusterRole" } else { "Role" };
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": format!("{role}Binding"), "metadata": metadata(place, names),
        "roleRef": {"apiGroup": GROUP, "kind": role, "name": names.name},
        "subjects": [{"kind": "ServiceAccount", "name": names.name, "namespace": names.namespace}],
    });
    Document::new(object, "")
}

fn metadata(place: &Place, names: &Names) -> Value {
    match place {
        Place::Cluster => json!({"name": names.name}),
        Place::Namespace(namespace) => json!({"name": names.name, "namespace": namespace}),
    }
}

/// What a role that is there allows and the one that is to replace it does not, each as "verb resource".
pub fn taken_away(found: &Value, new: &Value) -> Vec<String> {
    let remaining: BTreeSet<Right> = rights(new).collect();
    let is_lost = |right: &Right| {
        let of_all = Right { name: None, ..right.clone() };
        !remaining.contains(right) && !remaining.contains(&of_all)
    };
    rights(found).filter(is_lost).map(|right| right.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// One verb on one resource, or on one object of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    resource: String,
    group: String,
    name: Option<String>,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, resource, group, name } = self;
        write!(f, "{verb} {resource}{}{group}", if group.is_empty() { "" } else { "." })?;
        name.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// The rights of a role.
fn rights(role: &Value) -> impl Iterator<Item = Right> {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        rule[key].as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    role["rules"].as_array().into_iter().flatten().flat_map(move |rule| {
        let names: Vec<Option<String>> = texts(rule, "resourceNames").into_iter().map(Some).collect();
        let names = if names.is_empty() { vec![None] } else { names };
        let mut rights = Vec::new();
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    let right = |name: &Option<String>| Right {
                        verb: verb.clone(),
                        resource: resource.clone(),
                        group: group.clone(),
                        name: name.clone(),
                    };
                    rights.extend(names.iter().map(right));
                }
            }
        }
        rights
    })
}

/// The sentence as it goes on after a colon.
fn lower(sentence: &str) -> String {
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_lowercase().collect::<String>()).unwrap_or_default();
    // "CIDR groups" and "CRDs" stay as they are.
    let is_acronym = characters.clone().next().is_some_and(char::is_uppercase);
    if is_acronym { sentence.to_owned() } else { first + characters.as_str() }
}

/// The documents as YAML for `kubectl apply -f -`, below a comment.
pub fn text(documents: &[Document], heading: &str) -> String {
    let whole = documents.iter().map(|document| {
        let none = Map::new();
        let object = document.object.as_object().unwrap_or(&none);
        let remark = |key: &str, index: usize| {
            let remark = document.rules.get(index).filter(|_| key == "rules");
            remark.cloned().unwrap_or_default()
        };
        format!("{}{}", yaml::comment(&document.comment, 0), yaml::block(object, 0, &remark))
    });
    // A line in between: it is not about the first object alone.
    yaml::comment(heading, 0) + "\n" + &whole.collect::<Vec<_>>().join("---\n")
}
