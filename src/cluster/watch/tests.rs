//! What a list may look like.

use super::*;

#[test]
fn an_empty_list_of_metadata_has_null_for_items() {
    // As kube-apiserver 1.36.3 answers.
    let text = r#"{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": "214"}, "items": null}"#;
    let page: Page = serde_json::from_str(text).expect("a list");
    assert_eq!((page.metadata.resource_version.as_str(), page.items), ("214", None));
    let absent: Page = serde_json::from_str(r#"{"metadata": {"resourceVersion": "7"}}"#).expect("a list");
    assert_eq!(absent.items, None);
}
