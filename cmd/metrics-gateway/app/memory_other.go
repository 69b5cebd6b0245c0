//go:build !linux

package app

// unmapProgram does nothing: clusters run the gateway on Linux.
func unmapProgram() error { return nil }
