// Package controllers stands in for the controllers of the Multi-Cluster Services API: the one name that the
// Cilium operator refers to.
package controllers

// DerivedServiceAnnotation names, on a ServiceImport, the Service derived from it.
const DerivedServiceAnnotation = "multicluster.kubernetes.io/derived-service"
