package fetch

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"postrider/ledger"
)

// Mark is how far a mailbox was carried whose messages have numbers that only
// grow and are never used again, within an epoch: the UIDs and UIDVALIDITY of
// IMAP (RFC 9051 section 2.3.1.1). It lets a poll ask for what is new instead of
// for everything. The records of the ledger have the last word all the same.
type Mark struct {
	Epoch   uint32  `json:"epoch"`
	Next    uint32  `json:"next"`           // everything below it is settled, save what is Open; 0: nothing is
	Open    Numbers `json:"open,omitempty"` // messages that could not be fetched yet
	Told    uint32  `json:"told,omitempty"` // the next number, as the server told; 0: it did not
	ModSeq  uint64  `json:"modseq,omitempty"`
	Due     int64   `json:"due,omitempty"`     // when something is to be done on the server, in Unix seconds; 0: never
	Counted int64   `json:"counted,omitempty"` // when everything there was last listed, in Unix seconds
	Policy  string  `json:"policy,omitempty"`  // what the user wanted then

	// Comparing: the epoch has changed, and not every message has been compared
	// by content yet with those that are gone.
	Comparing bool `json:"comparing,omitempty"`
}

// countEvery is how often a mailbox is listed as a whole, at an occasion, so
// that what is gone from it is forgotten.
const countEvery = 7 * 24 * time.Hour

// Quiet tells whether there is nothing to do in a mailbox to which nothing was
// added.
func (m Mark) Quiet(job Job, now time.Time) bool {
	return m.Next > 0 && len(m.Open) == 0 && !m.Comparing && m.Policy == job.policy() && (m.Due == 0 || now.Unix() < m.Due)
}

// LoadMark returns the mark of the mailbox that a job is for, or the zero Mark.
// One that cannot be read is like none: everything is listed again then, and
// compared with the records, which costs a list and no mail.
func LoadMark(l *ledger.Ledger, job Job) (m Mark, err error) {
	text, err := l.Memory(markName(job))
	if err != nil || len(text) == 0 {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil || !m.Open.ordered() {
		return Mark{}, nil
	}
	return m, nil
}

// SaveModSeq notes the modification sequence of a mailbox in which nothing is
// new, so that the server does not tell of the same changes again.
func SaveModSeq(l *ledger.Ledger, job Job, m Mark, seq uint64) error {
	m.ModSeq = seq
	return l.Commit(func(t *ledger.Tx) error { return m.save(t, job) })
}

// save writes the mark.
func (m Mark) save(t *ledger.Tx, job Job) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode mark: %w", err)
	}
	return t.Remember(markName(job), text)
}

func markName(job Job) string { return "mark\x00" + job.id() }

// policy is what decides which messages are wanted and what becomes of them
// there: once it is another, what was settled is not.
func (j Job) policy() string {
	return fmt.Sprintf("%d/%v/%d/%s", j.OnServer.Action, j.OnServer.After, j.MaxSize, j.Folder)
}

// setMark has the mark written with the next commit, unless it is as it was.
func (l *Line) setMark(m Mark) {
	l.markChanged = l.markChanged || !reflect.DeepEqual(m, l.mark)
	l.mark = m
}

// saveMark writes the mark if it was set since the last commit.
func (l *Line) saveMark(t *ledger.Tx) error {
	if !l.markChanged {
		return nil
	}
	return l.mark.save(t, l.job)
}

// maxOpen bounds how many ranges of messages a mark keeps.
const maxOpen = 2000

// setOpen notes which messages could not be fetched yet. Of very many scattered
// ones the rest is listed again, along with all that follow.
func (m *Mark) setOpen(open Numbers) {
	if len(open) > maxOpen {
		m.Next = min(m.Next, open[maxOpen].First)
		open = open[:maxOpen:maxOpen]
	}
	m.Open = open
}

// moveMark notes how far the session has carried the mailbox.
func (l *Line) moveMark(p *plan, now time.Time) {
	if !l.job.Numbered || p.listing.Epoch == 0 {
		return
	}
	m := Mark{
		Epoch: p.listing.Epoch, Next: p.listing.Next, Told: p.listing.Told, ModSeq: p.listing.ModSeq,
		Counted: l.mark.Counted, Policy: l.job.policy(), Comparing: l.mark.Comparing,
	}
	open := p.open
	for i := range p.want {
		w := &p.want[i]
		place, known := l.known.Find(w.key)
		if settled := known && p.number(place) != 0 || w.gone || w.tooLarge; !settled {
			open = append(open, uint32(w.Number))
		}
	}
	if p.since.Epoch == m.Epoch {
		heard := numbersOf(p.heard)
		for n := range p.since.Open.All() {
			// Of these the server has said nothing, not even that they are gone.
			if !heard.Contains(n) && !p.listing.Gone.Contains(n) {
				open = append(open, n)
			}
		}
	}
	m.setOpen(numbersOf(open))
	if p.complete {
		m.Counted = now.Unix()
	}
	if l.littered.Load() {
		m.Policy = "" // not quiet: the next pass opens the folder, and clears its tmp/
	}
	m.Due = l.nextDue()
	l.setMark(m)
}
