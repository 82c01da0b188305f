package main

import (
	"fmt"
	"strings"
)

// shownMax bounds how many different lines of one file are printed.
const shownMax = 20

// difference prints the lines that only one side has, each under its section, and returns how many there are.
func difference(path, have, want string) int {
	left, right := sections(have), sections(want)
	count := 0
	show := func(sign, line string) {
		count++
		if count <= shownMax {
			fmt.Printf("%s: %s %s\n", path, sign, line)
		}
	}
	for _, line := range left.order {
		if right.count[line] < left.count[line] {
			show("-", line)
		}
	}
	for _, line := range right.order {
		if left.count[line] < right.count[line] {
			show("+", line)
		}
	}
	if count == 0 && have != want {
		show("!", "the same lines in another order")
	}
	if count > shownMax {
		fmt.Printf("%s: … and %d more\n", path, count-shownMax)
	}
	return count
}

type lineSet struct {
	order []string
	count map[string]int
}

// sections names each line by the headings above it, so that equal lines of different types stay apart.
func sections(text string) lineSet {
	set := lineSet{count: map[string]int{}}
	heads := []string{}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		depth := len(line) - len(strings.TrimLeft(line, "\t"))
		if depth < len(heads) {
			heads = heads[:depth]
		}
		full := strings.Join(append(append([]string{}, heads...), strings.TrimLeft(line, "\t")), " > ")
		word, _, _ := strings.Cut(strings.TrimLeft(line, "\t"), " ")
		heads = append(heads, word)
		if set.count[full]++; set.count[full] == 1 {
			set.order = append(set.order, full)
		}
	}
	return set
}
