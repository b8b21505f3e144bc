package configs

import (
	_ "embed"
	"slices"
)

//go:embed sample.yaml
var sample []byte

// Sample is the annotated sample: a valid configuration with every key, its default and what it is for. The caller owns the octets.
func Sample() []byte { return slices.Clone(sample) }
