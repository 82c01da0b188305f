package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
)

// publishedHashes are the storage version hashes of the published legacy discovery documents.
func publishedHashes() (map[schema.GroupVersionResource]string, error) {
	folder, err := moduleFolder("k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(folder, "api", "discovery", "api*__v*.json"))
	if err != nil {
		return nil, err
	}
	hashes := map[schema.GroupVersionResource]string{}
	for _, path := range paths {
		list := &metav1.APIResourceList{}
		if err := readJSON(path, list); err != nil {
			return nil, err
		}
		groupVersion, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			hashes[groupVersion.WithResource(resource.Name)] = resource.StorageVersionHash
		}
	}
	return hashes, nil
}

// A priority of a group and of a version in it, as its APIService carries them.
type priority struct{ group, version int }

var priorityLine = regexp.MustCompile(`\{Group: "([^"]*)", Version: "([^"]*)"\}:\s*\{Group: (\d+), Version: (\d+)\}`)

// apiServicePriorities reads the two tables of upstream's source; the second, which is not exported, wins.
func apiServicePriorities() (map[schema.GroupVersion]priority, error) {
	folder, err := moduleFolder("k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	priorities := map[schema.GroupVersion]priority{}
	for _, path := range []string{"pkg/controlplane/apiserver/aggregator.go", "cmd/kube-apiserver/app/aggregator.go"} {
		text, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			return nil, err
		}
		for _, match := range priorityLine.FindAllStringSubmatch(string(text), -1) {
			group, _ := strconv.Atoi(match[3])
			version, _ := strconv.Atoi(match[4])
			priorities[schema.GroupVersion{Group: match[1], Version: match[2]}] = priority{group, version}
		}
	}
	if len(priorities) < 30 {
		return nil, fmt.Errorf("the tables of APIService priorities have moved: %d rows", len(priorities))
	}
	return priorities, nil
}

var (
	gatedResource = regexp.MustCompile(`resource := "(\w+)"; apiResourceConfigSource\.ResourceEnabled\((\w+)\.SchemeGroupVersion[^\n]*\n\s*if utilfeature\.DefaultFeatureGate\.Enabled\(features\.(\w+)\)`)
	importLine    = regexp.MustCompile(`(?m)^\s*(?:(\w+) )?"([^"]+)"$`)
)

// resourceGates are the feature gates without which a resource is not served even where its version is.
func resourceGates() (map[schema.GroupVersionResource]string, error) {
	folder, err := moduleFolder("k8s.io/kubernetes")
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(folder, "pkg", "registry", "*", "rest", "storage_*.go"))
	if err != nil {
		return nil, err
	}
	gates := map[schema.GroupVersionResource]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		imports := map[string]string{}
		for _, match := range importLine.FindAllStringSubmatch(string(text), -1) {
			imports[match[1]] = match[2]
		}
		for _, match := range gatedResource.FindAllStringSubmatch(string(text), -1) {
			groupVersion, found := packageVersion(strings.Replace(imports[match[2]], "k8s.io/kubernetes/pkg/apis/", "k8s.io/api/", 1))
			if !found {
				return nil, fmt.Errorf("%s: no group-version is made by %s", path, match[2])
			}
			if _, known := utilfeature.DefaultMutableFeatureGate.GetAll()[featuregate.Feature(match[3])]; !known {
				return nil, fmt.Errorf("%s: no gate is called %s", path, match[3])
			}
			gates[groupVersion.WithResource(match[1])] = match[3]
		}
	}
	return gates, nil
}

// packageVersion is the group-version whose types a package holds.
func packageVersion(path string) (schema.GroupVersion, bool) {
	for _, scheme := range schemes {
		for kind, goType := range scheme.AllKnownTypes() {
			if goType.PkgPath() == path && !strings.HasPrefix(kind.Version, "__") {
				return kind.GroupVersion(), true
			}
		}
	}
	return schema.GroupVersion{}, false
}
