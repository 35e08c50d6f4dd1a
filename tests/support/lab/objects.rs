//! What tests do with objects, as the administrator.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::apiserver::ApiServer;
use super::http::Response;
use super::{cache_dir, wait_for};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// The label by which Cilium tells the version of its CRDs.
const SCHEMA_VERSION: &str = "io.cilium.k8s.crd.schema.version";

impl ApiServer {
    /// One request with a JSON body, whatever the answer's status.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let bytes = body.map(|body| body.to_string().into_bytes());
        let kind = if method == "PATCH" { MERGE } else { JSON };
        self.client().request(method, path, bytes.as_deref().map(|bytes| (kind, bytes)))
    }

    fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        success(method, path, self.request(method, path, body)?)
    }

    /// Reads an object or list.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.expect("GET", path, None)
    }

    /// Reads an object that may not be there.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Value>> {
        let response = self.request("GET", path, None)?;
        if response.status == 404 {
            return Ok(None);
        }
        success("GET", path, response).map(Some)
    }

    /// Creates an object; `path` is that of its list.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.expect("POST", path, Some(object))
    }

    /// Writes an object as a whole (PUT).
    pub(crate) fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        self.expect("PUT", path, Some(object))
    }

    /// Patches an object (JSON merge patch); `path` may end in `/status`.
    pub(crate) fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.expect("PATCH", path, Some(patch))
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        self.expect("DELETE", path, None).map(drop)
    }

    /// Applies each document of a YAML text by the field manager `lab`, without respect for others.
    pub(crate) fn apply_yaml(&self, yaml: &str) -> Result<Vec<Value>> {
        self.apply_yaml_as("lab", yaml)
    }

    /// The same by a field manager of the test's choice.
    pub(crate) fn apply_yaml_as(&self, manager: &str, yaml: &str) -> Result<Vec<Value>> {
        let documents = split_yaml(yaml).into_iter();
        documents.map(|document| self.send_apply(manager, "", &Reference::of_yaml(document)?, document)).collect()
    }

    /// What the API server would make of each document, without doing it. An unknown field is an error.
    pub(crate) fn dry_run_yaml(&self, yaml: &str) -> Result<Vec<Value>> {
        let strict = "&dryRun=All&fieldValidation=Strict";
        let documents = split_yaml(yaml).into_iter();
        documents.map(|document| self.send_apply("lab", strict, &Reference::of_yaml(document)?, document)).collect()
    }

    /// Applies one object by the field manager `lab`.
    pub(crate) fn apply(&self, object: &Value) -> Result<Value> {
        self.send_apply("lab", "", &Reference::of_json(object)?, &object.to_string())
    }

    fn send_apply(&self, manager: &str, query: &str, reference: &Reference, text: &str) -> Result<Value> {
        let path = self.path_of(reference)?;
        let path = format!("{path}?fieldManager={manager}&force=true{query}");
        let response = self.client().request("PATCH", &path, Some((APPLY, text.as_bytes())))?;
        success("PATCH", &path, response)
    }

    /// The path of an object, by what the API server says of its kind.
    fn path_of(&self, reference: &Reference) -> Result<String> {
        let Reference { api_version, kind, namespace, name } = reference;
        let root =
            if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
        let list = self.get(&root)?;
        let resources = list["resources"].as_array().context("no resources")?;
        let of_kind = |resource: &&Value| {
            resource["kind"] == **kind && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        };
        let resource = resources.iter().find(of_kind).with_context(|| format!("{api_version} has no {kind}"))?;
        let plural = resource["name"].as_str().unwrap_or_default();
        Ok(if resource["namespaced"] == true {
            format!("{root}/namespaces/{}/{plural}/{name}", namespace.as_deref().unwrap_or("default"))
        } else {
            format!("{root}/{plural}/{name}")
        })
    }

    /// Watches a list: first an `ADDED` for each object there is, then every event. `path` may have a query, for
    /// example `?resourceVersion=` with [`ApiServer::version_of`] for only what is new. Dropping the receiver ends it.
    pub(crate) fn watch(&self, path: &str) -> Result<Receiver<(Instant, Value)>> {
        self.client().watch(path)
    }

    /// The resourceVersion of a list.
    pub(crate) fn version_of(&self, path: &str) -> Result<String> {
        let list = self.get(path)?;
        Ok(list["metadata"]["resourceVersion"].as_str().context("a list without resourceVersion")?.to_owned())
    }

    /// Waits until an object is there and `is_right`; gives it.
    pub(crate) fn wait_object(&self, path: &str, limit: Duration, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = None;
        let found = wait_for(path, limit, || {
            last = self.find(path)?;
            Ok(last.clone().filter(|object| is_right(object)))
        });
        found.with_context(|| {
            last.map_or_else(|| "the object is not there".to_owned(), |last| format!("it is {last:#}"))
        })
    }

    /// Makes a namespace unless it is there.
    pub(crate) fn ensure_namespace(&self, name: &str) -> Result<()> {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).map(drop)
    }

    /// Lets a user do what `rules` (the rules of a ClusterRole) allow, in the whole cluster; replaces what an earlier
    /// call allowed. The user of a ServiceAccount is `system:serviceaccount:NAMESPACE:NAME`.
    pub(crate) fn grant(&self, user: &str, rules: &Value) -> Result<()> {
        let rbac = "rbac.authorization.k8s.io";
        let name = format!("lab:{user}");
        let api = format!("{rbac}/v1");
        self.apply(&json!({"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}))?;
        self.apply(&json!({
            "apiVersion": api, "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}],
        }))?;
        Ok(())
    }

    /// Installs the CRDs of a YAML text and waits until each is served.
    pub(crate) fn install_crds(&self, yaml: &str) -> Result<()> {
        let definitions = self.apply_yaml(yaml)?;
        definitions.iter().try_for_each(|definition| self.wait_served(definition))
    }

    /// Installs Cilium's pool and CIDR group CRDs as Cilium 1.20 does, with only `versions` of them, the first as the
    /// stored one: `["v2", "v2alpha1"]` is all there is, `["v2alpha1"]` what old releases had.
    pub(crate) fn install_cilium_crds(&self, versions: &[&str]) -> Result<()> {
        let path = cache_dir()?.join("crd/cilium/schema-version");
        let schema = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.install_cilium_crds_as(versions, schema.trim())
    }

    /// The same with a schema version (the label) of the test's choice: 1.20.2 has 1.33.12.
    pub(crate) fn install_cilium_crds_as(&self, versions: &[&str], schema: &str) -> Result<()> {
        for yaml in crd_files("cilium")? {
            let reference = Reference::of_yaml(&yaml)?;
            let mut whole = self.send_apply("lab", "&dryRun=All", &reference, &yaml)?;
            let all = whole["spec"]["versions"].take();
            let by_name = |name: &&str| all.as_array()?.iter().find(|version| version["name"] == **name).cloned();
            let mut kept: Vec<Value> = versions.iter().filter_map(by_name).collect();
            ensure!(kept.len() == versions.len(), "{} has not all of {versions:?}", reference.name);
            for (index, version) in kept.iter_mut().enumerate() {
                version["storage"] = Value::Bool(index == 0);
            }
            whole["spec"]["versions"] = Value::Array(kept);
            let definition = self.apply(&json!({
                "apiVersion": whole["apiVersion"], "kind": whole["kind"], "spec": whole["spec"],
                "metadata": {"name": reference.name, "labels": {SCHEMA_VERSION: schema}},
            }))?;
            self.wait_served(&definition)?;
        }
        Ok(())
    }

    /// Installs MetalLB's CRDs.
    pub(crate) fn install_metallb_crds(&self) -> Result<()> {
        self.install_crds(&crd_files("metallb")?.join("\n---\n"))
    }

    /// Waits until a CRD is Established and each of its served versions answers.
    fn wait_served(&self, definition: &Value) -> Result<()> {
        let name = definition["metadata"]["name"].as_str().context("a CRD without a name")?;
        self.wait_object(&format!("{CRDS}/{name}"), Duration::from_secs(20), |object| {
            condition(object, "Established").is_some_and(|found| found["status"] == "True")
        })?;
        let (plural, group) = name.split_once('.').context("a CRD's name is PLURAL.GROUP")?;
        let versions = definition["spec"]["versions"].as_array().context("a CRD without versions")?;
        for version in versions.iter().filter(|version| version["served"] == true) {
            let root = format!("/apis/{group}/{}", version["name"].as_str().unwrap_or_default());
            wait_for(&root, Duration::from_secs(20), || {
                let listed = self.get(&root)?["resources"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|resource| resource["name"] == plural));
                let answers = self.request("GET", &format!("{root}/{plural}?limit=1"), None)?.ok();
                Ok((listed && answers).then_some(()))
            })?;
        }
        Ok(())
    }
}

/// A condition of an object's status.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The ingress addresses in the status of a Service, in their order.
pub(crate) fn ingress(service: &Value) -> Vec<&str> {
    let list = service["status"]["loadBalancer"]["ingress"].as_array();
    list.into_iter().flatten().filter_map(|entry| entry["ip"].as_str()).collect()
}

/// The CRD files that `tests/lab/build` copied for `cilium` or `metallb`.
pub(crate) fn crd_files(of: &str) -> Result<Vec<String>> {
    let dir = cache_dir()?.join("crd").join(of);
    let missing = || format!("the CRDs of {of} are missing ({}): run tests/run or tests/lab/build", dir.display());
    let entries = std::fs::read_dir(&dir).with_context(missing)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    ensure!(!paths.is_empty(), missing());
    paths
        .iter()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())))
        .collect()
}

/// The documents of a YAML text, without empty ones.
pub(crate) fn split_yaml(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut position) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            documents.push(&text[start..position]);
            start = position + line.len();
        }
        position += line.len();
    }
    documents.push(&text[start..]);
    documents.retain(|document| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')));
    documents
}

/// What names an object.
struct Reference {
    api_version: String,
    kind: String,
    namespace: Option<String>,
    name: String,
}

impl Reference {
    fn of_json(object: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            api_version: text(&object["apiVersion"]).context("an object without apiVersion")?,
            kind: text(&object["kind"]).context("an object without kind")?,
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]).context("an object without metadata.name")?,
        })
    }

    /// Reads the four fields of a document in block style, or of JSON; `metadata: {name: …}` is understood, too.
    fn of_yaml(document: &str) -> Result<Self> {
        if document.trim_start().starts_with('{') {
            return Self::of_json(&serde_json::from_str(document)?);
        }
        let top = |key: &str| document.lines().find_map(|line| yaml_value(line, key));
        let mut metadata = document.lines().skip_while(|line| !line.starts_with("metadata:"));
        let inline = metadata.next().and_then(|line| line.split_once('{')).map_or("", |(_, flow)| flow);
        let block = metadata.take_while(|line| line.starts_with(' ')).filter_map(|line| line.strip_prefix("  "));
        let fields: Vec<&str> = block.chain(inline.split([',', '}']).map(str::trim)).collect();
        let inside = |key: &str| fields.iter().find_map(|field| yaml_value(field, key));
        Ok(Self {
            api_version: top("apiVersion").context("a document without apiVersion")?,
            kind: top("kind").context("a document without kind")?,
            namespace: inside("namespace"),
            name: inside("name").context("a document without metadata.name")?,
        })
    }
}

/// The value of a `key: value` line that starts in the first column.
fn yaml_value(line: &str, key: &str) -> Option<String> {
    let value = line.strip_prefix(key)?.strip_prefix(':')?.split(" #").next()?.trim();
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// The body of a good answer; the error names request, status and the API server's message.
fn success(method: &str, path: &str, response: Response) -> Result<Value> {
    if response.ok() {
        return Ok(response.body);
    }
    let message = response.body["message"].as_str().map_or_else(|| response.body.to_string(), str::to_owned);
    bail!("{method} {path}: status {}: {message}", response.status);
}
