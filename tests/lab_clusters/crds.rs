//! Which API version is used, and that CRDs come and change while we run.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, METALLB_NAMESPACE};
use crate::rig::{Cluster, Daemon, Lab, cluster, dynamic_prefix, full_access, writes};

pub(crate) const STORIES: &[Story] = &[("CRDs: none, then v2alpha1 alone, then v2 beside it, then v2 alone", upgrade)];

const ID: &str = "crds";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// The kinds of Cilium, with their path in a version.
fn cilium(version: &str) -> [(Kind, String); 2] {
    [Kind::Pool, Kind::Group].map(|kind| (kind, kind.collection().replace("/v2/", &format!("/{version}/"))))
}

fn name(kind: Kind) -> String {
    format!("crds-{}", kind.field().to_lowercase())
}

fn upgrade(_: &Lab) -> Result<()> {
    let cluster_ = Cluster::bare()?;
    let server = &cluster_.server;
    let bindings = Kind::ALL.map(|kind| kind.binding(ID, &name(kind))).concat();
    let template = cluster("lab", &full_access(server, ID)?, "") + &dynamic_prefix(ID, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(ID, 'a', &(template + &bindings))?;
    for kind in Kind::ALL {
        let target = daemon.wait_reason(&name(kind), "KindNotInstalled")?;
        let message = target["message"].as_str().unwrap_or_default().to_owned();
        ensure!(message.contains(&kind.field_of_crd()), "which CRD is missing is not said: {message}");
    }

    server.install_cilium_crds(&["v2alpha1"])?;
    for (kind, collection) in cilium("v2alpha1") {
        kind.create_at(server, &collection, &name(kind), None, &kind.of_user())?;
    }
    wait(server, "v2alpha1", 'a')?;
    ensure!(versions_written(server)? == ["v2alpha1"], "written in {:?}", versions_written(server)?);

    server.install_metallb_crds()?;
    server.ensure_namespace(METALLB_NAMESPACE)?;
    Kind::Metallb.create(server, &name(Kind::Metallb), None)?;
    let (user, ours) = (Kind::Metallb.of_user(), Kind::Metallb.all_ours(Part::Lb, "a"));
    Kind::Metallb.wait(server, ID, &name(Kind::Metallb), &user, &ours)?;

    server.install_cilium_crds(&["v2", "v2alpha1"])?;
    daemon.rotate('b')?;
    wait(server, "v2", 'b')?;

    no_longer_serve_v2alpha1(server)?;
    daemon.rotate('c')?;
    wait(server, "v2", 'c')?;
    let versions = versions_written(server)?;
    ensure!(versions.last().is_some_and(|last| last == "v2"), "the last write was in {versions:?}");
    for kind in Kind::ALL {
        daemon.wait_reason(&name(kind), "Synced")?;
    }
    Ok(())
}

fn wait(server: &ApiServer, version: &str, letter: char) -> Result<()> {
    for (kind, collection) in cilium(version) {
        let path = format!("{collection}/{}", name(kind));
        kind.wait_at(server, &path, ID, &kind.of_user(), &kind.ours(Part::Lb, letter))?;
    }
    Ok(())
}

fn no_longer_serve_v2alpha1(server: &ApiServer) -> Result<()> {
    for plural in ["ciliumloadbalancerippools", "ciliumcidrgroups"] {
        let path = format!("{CRDS}/{plural}.cilium.io");
        let mut versions = server.get(&path)?["spec"]["versions"].take();
        let list = versions.as_array_mut().context("a CRD without versions")?;
        let old = list.iter_mut().find(|version| version["name"] == "v2alpha1").context("no v2alpha1")?;
        old["served"] = Value::Bool(false);
        server.patch(&path, &json!({"spec": {"versions": versions}}))?;
        let old = format!("/apis/cilium.io/v2alpha1/{plural}");
        crate::lab::wait_for("the end of v2alpha1", crate::rig::PATIENCE, || {
            Ok((server.request("GET", &old, None)?.status == 404).then_some(()))
        })?;
    }
    Ok(())
}

/// The versions in which Cilium's objects were written so far, each run of the same once.
fn versions_written(server: &ApiServer) -> Result<Vec<String>> {
    let of_cilium = |uri: &str| uri.strip_prefix("/apis/cilium.io/").map(str::to_owned);
    let all = writes(server, ID)?.into_iter().filter_map(|event| of_cilium(&event.uri));
    let mut versions: Vec<String> = all.filter_map(|rest| rest.split('/').next().map(str::to_owned)).collect();
    versions.dedup();
    Ok(versions)
}

impl Kind {
    /// The name of its CRD.
    fn field_of_crd(self) -> String {
        match self {
            Self::Pool => "ciliumloadbalancerippools.cilium.io",
            Self::Group => "ciliumcidrgroups.cilium.io",
            Self::Metallb => "ipaddresspools.metallb.io",
        }
        .to_owned()
    }
}
