//go:build !linux

package ledger

import "go.etcd.io/bbolt"

func releasePages(*bbolt.Tx) {}
