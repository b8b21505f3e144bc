package mailtest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// imapView is a mailbox as one session has it open: its message numbers, which
// change only when the session is told. Like the mailbox, it is used under the
// account's lock.
type imapView struct {
	mailbox  *IMAPMailbox
	readOnly bool
	era      int
	changes  uint64 // of the mailbox, when it was looked at last
	next     uint32 // UIDs from here on are news
	pending  bool   // some rows are gone and the session has not been told
	rows     []imapSeen
}

// imapSeen is a message as the session knows it.
type imapSeen struct {
	*imapMessage
	modseq uint64 // of the flags that it was told
}

// newIMAPView opens a mailbox; window, if not 0, is the most that is shown.
func newIMAPView(m *IMAPMailbox, readOnly bool, window int) *imapView {
	v := &imapView{mailbox: m, readOnly: readOnly, era: m.era, changes: m.changes, next: m.next}
	shown := m.messages
	if window > 0 && len(shown) > window {
		shown = shown[len(shown)-window:]
	}
	v.rows = make([]imapSeen, len(shown))
	for i, message := range shown {
		v.rows[i] = imapSeen{message, message.ModSeq}
	}
	return v
}

func (v *imapView) name() string { return v.mailbox.Name() }

// stale says whether the UIDs that the session knows mean nothing any more.
func (v *imapView) stale() bool {
	defer v.mailbox.account.lock()()
	return v.era != v.mailbox.era
}

// pick returns the indexes of the messages in a set, ascending, each once. UIDs
// that do not exist are passed over; ok is false for a number that does not.
func (v *imapView) pick(set imapSet, byUID bool) (picked []int, ok bool) {
	if !byUID {
		for _, r := range set.resolve(uint32(len(v.rows))) {
			if r.first == 0 || int64(r.last) > int64(len(v.rows)) {
				return nil, false
			}
			for n := r.first; n <= r.last; n++ {
				picked = append(picked, int(n)-1)
			}
		}
		return picked, true
	}
	star := uint32(0)
	if n := len(v.rows); n > 0 {
		star = v.rows[n-1].UID
	}
	for _, r := range set.resolve(star) {
		from := sort.Search(len(v.rows), func(i int) bool { return v.rows[i].UID >= r.first })
		for i := from; i < len(v.rows) && v.rows[i].UID <= r.last; i++ {
			if !v.rows[i].gone {
				picked = append(picked, i)
			}
		}
	}
	return picked, true
}

// expungeMarked removes what is marked \Deleted, of these UIDs if uids is not nil.
func (v *imapView) expungeMarked(uids imapSet) {
	defer v.mailbox.account.lock()()
	if uids != nil && len(v.rows) > 0 {
		uids = uids.resolve(v.rows[len(v.rows)-1].UID)
	}
	gone := make(map[*imapMessage]bool)
	for _, row := range v.rows {
		if !row.gone && hasFlag(row.Flags, `\Deleted`) && (uids == nil || uids.contains(row.UID)) {
			gone[row.imapMessage] = true
		}
	}
	v.mailbox.expunge(gone)
}

// news is what the session has to be told now, as untagged responses.
func (s *imapSession) news(expunge bool) []byte {
	if s.account == nil {
		return nil
	}
	defer s.account.lock()()
	var out []byte
	if v := s.open; v != nil && (v.changes != v.mailbox.changes || v.pending) && v.era == v.mailbox.era {
		out = s.changesOf(v, expunge)
	}
	if s.notify != nil {
		out = append(out, s.notices()...)
	}
	return out
}

func (s *imapSession) changesOf(v *imapView, expunge bool) (out []byte) {
	m := v.mailbox
	v.changes, v.pending = m.changes, false
	var vanished imapSet
	kept := v.rows[:0]
	for _, row := range v.rows {
		switch {
		case row.gone && expunge:
			if s.enabled["QRESYNC"] {
				vanished = vanished.add(row.UID)
			} else {
				out = fmt.Appendf(out, "* %d EXPUNGE\r\n", len(kept)+1)
			}
			continue
		case row.gone:
			v.pending = true
		case row.modseq < row.ModSeq:
			row.modseq = row.ModSeq
			out = fmt.Appendf(out, "* %d FETCH (", len(kept)+1)
			if s.enabled["CONDSTORE"] {
				out = fmt.Appendf(out, "UID %d MODSEQ (%d) ", row.UID, row.ModSeq)
			}
			out = append(out, "FLAGS ("+strings.Join(row.Flags, " ")+"))\r\n"...)
		}
		kept = append(kept, row)
	}
	if len(vanished) > 0 {
		out = append(out, "* VANISHED "+vanished.String()+"\r\n"...)
	}
	first, _ := m.find(v.next)
	v.next = m.next
	for _, message := range m.messages[first:] {
		kept = append(kept, imapSeen{message, message.ModSeq})
	}
	clear(v.rows[min(len(kept), len(v.rows)):])
	v.rows = kept
	if first < len(m.messages) {
		out = fmt.Appendf(out, "* %d EXISTS\r\n", len(v.rows))
	}
	return out
}

// vanished is what went since a modification sequence, of these UIDs if known is
// not nil.
func (m *IMAPMailbox) vanished(since uint64, known imapSet) imapSet {
	var uids []uint32
	for _, g := range m.gone {
		if g.modseq > since && (known == nil || known.contains(g.uid)) {
			uids = append(uids, g.uid)
		}
	}
	slices.Sort(uids)
	var set imapSet
	for _, uid := range uids {
		set = set.add(uid)
	}
	return set
}
