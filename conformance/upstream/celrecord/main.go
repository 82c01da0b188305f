// Command celrecord writes what the pinned upstream makes of our CEL expressions: type, value, error, messages of the
// compiler, estimated and actual cost. `cargo test` replays the answers; see src/api/cel/recorded.rs for the format.
//
//	go -C conformance/upstream run ./celrecord           writes conformance/cel/recorded/*.txt and the function table
//	go -C conformance/upstream run ./celrecord --check   exits 1 when a committed file differs from the pinned upstream
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "compare with the committed files, write nothing")
	cases := flag.String("cases", "../cel", "the folder of the cases; answers go to its folder recorded")
	table := flag.String("functions", "../../src/api/cel/functions.txt", "the table of the functions")
	flag.Parse()
	different := 0
	write := func(path, want string) {
		have, err := os.ReadFile(path)
		if err == nil && string(have) == want {
			return
		}
		different++
		fmt.Printf("%s: %d lines\n", path, strings.Count(want, "\n"))
		if !*check {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				fatal(err)
			}
		}
	}
	write(*table, functionTable())
	files, err := filepath.Glob(filepath.Join(*cases, "*.cel"))
	if err != nil {
		fatal(err)
	}
	for _, file := range files {
		write(filepath.Join(*cases, "recorded", strings.TrimSuffix(filepath.Base(file), ".cel")+".txt"), record(file))
	}
	files, err = filepath.Glob(filepath.Join(*cases, "*.rules"))
	if err != nil {
		fatal(err)
	}
	for _, file := range files {
		write(filepath.Join(*cases, "recorded", strings.TrimSuffix(filepath.Base(file), ".rules")+".rules.txt"), recordRules(file))
	}
	if *check && different > 0 {
		os.Exit(1)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
