// Package config reads the configuration file: which Prometheus series become metrics of which objects.
//
// The file is that of prometheus-adapter, unchanged, and a few fields of our own (see Rule). Reading is strict and
// complete: every mistake is reported at once, each as FILE:LINE: FIELD: what is wrong.
//
//	cfg, err := config.LoadFile(path)
//
// This package knows the form of the file. What a rule means (regular expressions, templates, kinds) is for package
// naming to judge, which reports in the same form through Config.At.
package config
