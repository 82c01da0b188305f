//go:build e2e

// Package upstream names what no program here imports and `go test -c k8s.io/kubernetes/test/e2e` needs, so that
// `go mod tidy` keeps it.
package upstream

import (
	_ "k8s.io/kubernetes/test/e2e"
	_ "k8s.io/kubernetes/test/e2e/dra"
)
