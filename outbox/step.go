package outbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postrider/ledger"
)

// step is how far the sending of an item has come. It is in the ledger, where
// one commit serves many items; the record in the spool says what to send.
type step struct {
	Attempts int       `json:"attempts,omitempty"` // begun
	Next     time.Time `json:"next,omitzero"`      // not before
	Last     string    `json:"last,omitempty"`     // what came of the last attempt

	// Dot are the recipients that the server accepted before the final dot was
	// given away, while its reply is not known.
	Dot []int `json:"dot,omitempty"`
	// Told are the outcomes that were learnt, by the index of the recipient.
	Told map[int]told `json:"told,omitempty"`

	Filed     bool `json:"filed,omitempty"`     // the copy is in the sent folder
	Reports   int  `json:"reports,omitempty"`   // on what failed, before the one that is due
	Reported  bool `json:"reported,omitempty"`  // the user has that one
	Doubted   bool `json:"doubted,omitempty"`   // the user has the letter that it is uncertain
	Cancelled bool `json:"cancelled,omitempty"` // it is being taken out of the queue
}

// told is an outcome.
type told struct {
	Outcome Outcome `json:"outcome"`
	Reply   string  `json:"reply,omitempty"`
}

const stepPrefix = "send\x00"

// stepOf returns the step of an item. An item that the ledger does not know (it
// is new, or the ledger was lost) has what its record says.
func stepOf(steps map[string]*step, id string, r *Record) *step {
	s := steps[id]
	if s == nil {
		s = &step{Attempts: r.Attempts, Last: r.Last}
	}
	s.Filed = s.Filed || r.Filed
	return s
}

// apply puts the outcomes into the record.
func (s *step) apply(r *Record) {
	for i, t := range s.Told {
		if i >= 0 && i < len(r.To) {
			r.To[i].Outcome, r.To[i].Reply = t.Outcome, t.Reply
		}
	}
	r.Attempts, r.Last, r.Filed = s.Attempts, s.Last, s.Filed
	if !s.Next.IsZero() {
		r.Next = s.Next
	}
}

// learn notes an outcome. One that failed calls for a report of its own if the
// last one is out.
func (s *step) learn(recipient int, t told) {
	if s.Told == nil {
		s.Told = map[int]told{}
	}
	s.Told[recipient] = t
	if t.Outcome == Failed && s.Reported {
		s.Reported = false
		s.Reports++
	}
}

// unsettled tells whether the step holds outcomes from which nothing has
// followed yet: such an item must not be sent, but settled. R is the record as
// it is in the spool.
func (s *step) unsettled(r *Record) bool {
	if len(s.Dot) > 0 || s.Cancelled {
		return true
	}
	waiting := false
	for i := range r.To {
		outcome := r.To[i].Outcome
		if t, ok := s.Told[i]; ok && t.Outcome != outcome {
			return true
		}
		waiting = waiting || outcome == Waiting
	}
	return !waiting
}

func loadSteps(l *ledger.Ledger) (map[string]*step, error) {
	steps := map[string]*step{}
	err := l.Memories(stepPrefix, func(name string, value []byte) error {
		var s step
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("read how far a message was sent: %w", err)
		}
		steps[strings.TrimPrefix(name, stepPrefix)] = &s
		return nil
	})
	return steps, err
}

func saveStep(t *ledger.Tx, id string, s *step) error {
	var text []byte
	if s != nil {
		var err error
		if text, err = json.Marshal(s); err != nil {
			return fmt.Errorf("encode how far a message was sent: %w", err)
		}
	}
	return t.Remember(stepPrefix+id, text)
}

// saveSteps makes the steps of messages durable, in one commit.
func (o *Outbox) saveSteps(all []*sending) error {
	if len(all) == 0 {
		return nil
	}
	return o.root.Ledger.Commit(func(t *ledger.Tx) error {
		for _, m := range all {
			if err := saveStep(t, m.id, m.step); err != nil {
				return err
			}
		}
		return nil
	})
}

// forget removes the steps of items that are gone from the disk.
func (o *Outbox) forget(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	return o.root.Ledger.Commit(func(t *ledger.Tx) error {
		for _, id := range ids {
			if err := saveStep(t, id, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
