// Package plugintest tests the built plugins, not their packages: it builds
// in_kms.so and out_kms.so, and in host/ a C program that loads them and calls
// them as Fluent Bit does, each in a separate process. A Go program cannot be
// the host: two Go runtimes would share its process.
//
// The tests need a C compiler and cgo, and are left out by -short.
package plugintest
