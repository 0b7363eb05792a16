package store

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	tempPrefix = ".tmp-"      // starts the names of temporary files
	lockName   = ".lock"      // the lock of a folder that cannot be locked itself
	maxElement = 255          // bytes of an element, as on most file systems
	maxName    = 1024         // bytes of a name, as on Cloud Storage
	forbidden  = "\\\x00\r\n" // \ separates elsewhere, Cloud Storage refuses line ends
)

// checkName refuses a name that could leave the store, that has another meaning on
// another system, or that the store itself uses.
func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("the name is empty")
	}
	if len(name) > maxName {
		return fmt.Errorf("the name %q… has %d bytes, want at most %d", name[:40], len(name), maxName)
	}
	if !utf8.ValidString(name) || strings.ContainsAny(name, forbidden) {
		return fmt.Errorf("the name %q has a backslash, NUL, line end or invalid UTF-8", name)
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "":
			return fmt.Errorf("the name %q has an empty element", name)
		case element == "." || element == "..":
			return fmt.Errorf("the name %q has the element %q", name, element)
		case len(element) > maxElement:
			return fmt.Errorf("the name %q has an element of %d bytes, want at most %d", name, len(element), maxElement)
		case hidden(element):
			return fmt.Errorf("the name %q has the element %q, reserved for the store", name, element)
		}
	}
	return nil
}

// checkPrefix is checkName for the start of a name.
func checkPrefix(prefix string) error {
	if !utf8.ValidString(prefix) || strings.ContainsAny(prefix, forbidden) {
		return fmt.Errorf("the prefix %q has a backslash, NUL, line end or invalid UTF-8", prefix)
	}
	i := strings.LastIndexByte(prefix, '/')
	if i < 0 {
		return nil
	}
	return checkName(prefix[:i]) // also refuses "/x"
}

// hidden reports whether the store itself uses the element of a name.
func hidden(element string) bool {
	return strings.HasPrefix(element, tempPrefix) || element == lockName
}
