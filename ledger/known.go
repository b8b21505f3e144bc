package ledger

import (
	"encoding/binary"
	"time"
)

// State is what happened to a message.
type State uint8

const (
	// Delivered: it is in its folder for good, and stays on the server.
	Delivered State = iota
	// Disposing: delivered, and the server is told to remove it as often as it is still there.
	Disposing
	// Inferred: a crash left an intent of which no file was found, so the reader has moved or
	// removed it. It is not fetched again, and not yet removed on the server.
	Inferred
	// Told: delivered, and the server was told all that it can be told; it may list it for ever.
	Told
)

// Record is what is known of one message of a remote mailbox.
type Record struct {
	Key     Key
	Octets  int64     // as the server announced; -1: unknown, any size matches
	Time    time.Time // of the delivery, in whole seconds
	State   State
	Gone    time.Time // since when the server does not list it, to the day; zero: it does
	Content Digest
}

// fact is a Record as it is kept in memory; the digest stays on disk.
type fact struct {
	octets int64
	time   uint32
	gone   uint16 // days since 1970; 0: the server lists it
	state  State
	used   bool
}

const day = 24 * time.Hour

// index finds a record's place by its key: open addressing over places, which
// costs 4 octets a slot where a map would cost six times as much. Keys are
// hashes already.
type index struct {
	slots []int32 // place+1; 0 free; -1 removed
	used  int     // slots that are not free
}

func (x *index) find(keys []Key, k Key) (place int, ok bool) {
	if len(x.slots) == 0 {
		return 0, false
	}
	mask := len(x.slots) - 1
	for i := int(binary.LittleEndian.Uint32(k[:])) & mask; ; i = (i + 1) & mask {
		switch p := x.slots[i]; {
		case p == 0:
			return 0, false
		case p > 0 && keys[p-1] == k:
			return int(p - 1), true
		}
	}
}

func (x *index) insert(keys []Key, place int) {
	mask := len(x.slots) - 1
	for i := int(binary.LittleEndian.Uint32(keys[place][:])) & mask; ; i = (i + 1) & mask {
		if x.slots[i] <= 0 {
			if x.slots[i] == 0 {
				x.used++
			}
			x.slots[i] = int32(place + 1)
			return
		}
	}
}

func (x *index) remove(keys []Key, place int) {
	mask := len(x.slots) - 1
	for i := int(binary.LittleEndian.Uint32(keys[place][:])) & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if x.slots[i] == int32(place+1) {
			x.slots[i] = -1
			return
		}
	}
}

// reserve makes room for one more, at most two thirds full.
func (x *index) reserve(keys []Key, facts []fact) {
	if (x.used+1)*3 <= len(x.slots)*2 {
		return
	}
	live := 0
	for i := range facts {
		if facts[i].used {
			live++
		}
	}
	size := 64
	for (live+1)*3 > size {
		size *= 2
	}
	x.slots = make([]int32, size)
	x.used = 0
	for i := range facts {
		if facts[i].used {
			x.insert(keys, i)
		}
	}
}
