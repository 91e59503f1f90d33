// Package view gives bytes as a string without copying them.
package view

import "unsafe"

// String returns a string that shares the memory of b. The string is valid while nobody
// changes b.
func String(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
