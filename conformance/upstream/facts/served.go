package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// moduleFolder is where the Go command keeps the source of a module of the pinned set.
func moduleFolder(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	return strings.TrimSpace(string(out)), err
}

// publishedDiscovery reads what upstream publishes of an API server with all groups and gates on. (A kube-apiserver
// started with api/all=true and all alpha gates answers the same, but for the folder's lack of an aggregated core group.)
func publishedDiscovery() (*apidiscoveryv2.APIGroupDiscoveryList, *metav1.APIResourceList, error) {
	folder, err := moduleFolder("k8s.io/kubernetes")
	if err != nil {
		return nil, nil, err
	}
	groups, core := &apidiscoveryv2.APIGroupDiscoveryList{}, &metav1.APIResourceList{}
	if err := readJSON(filepath.Join(folder, "api", "discovery", "aggregated_v2.json"), groups); err != nil {
		return nil, nil, err
	}
	return groups, core, readJSON(filepath.Join(folder, "api", "discovery", "api__v1.json"), core)
}

// versionDocument is the pinned version of Kubernetes.
func versionDocument() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").Output()
	return string(out), err
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// servedGroupVersions are all that stock kube-apiserver can be told to serve.
func servedGroupVersions() (map[schema.GroupVersion]bool, error) {
	groups, _, err := publishedDiscovery()
	if err != nil {
		return nil, err
	}
	served := map[schema.GroupVersion]bool{{Group: "", Version: "v1"}: true}
	for _, group := range groups.Items {
		for _, version := range group.Versions {
			served[schema.GroupVersion{Group: group.Name, Version: version.Version}] = true
		}
	}
	return served, nil
}
