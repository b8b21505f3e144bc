package mailtest

import (
	"fmt"
	"slices"
	"strings"
)

// imapStore is a STORE command.
type imapStore struct {
	set       imapSet
	unchanged uint64 // UNCHANGEDSINCE
	guarded   bool   // there is one
	sign      byte   // '+', '-', or 0 for all
	silent    bool
	flags     []string
}

func (p *imapParser) store() (c imapStore, err error) {
	if c.set, err = p.set(); err != nil {
		return c, err
	}
	if err = p.space(); err != nil {
		return c, err
	}
	if p.take("(UNCHANGEDSINCE ") {
		c.guarded = true
		if c.unchanged, err = p.number64(); err != nil {
			return c, err
		}
		if err = p.want(") "); err != nil {
			return c, err
		}
	}
	switch {
	case p.take("+"):
		c.sign = '+'
	case p.take("-"):
		c.sign = '-'
	}
	if err = p.want("FLAGS"); err != nil {
		return c, err
	}
	c.silent = p.take(".SILENT")
	if err = p.space(); err != nil {
		return c, err
	}
	if c.flags, err = p.flags(); err != nil {
		return c, err
	}
	return c, p.end()
}

// apply returns a message's flags after the command, in memory of their own.
func (c *imapStore) apply(flags []string) []string {
	switch c.sign {
	case '+':
		flags = slices.Clone(flags)
		for _, f := range c.flags {
			if !hasFlag(flags, f) {
				flags = append(flags, f)
			}
		}
		return flags
	case '-':
		return slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return hasFlag(c.flags, f) })
	}
	return slices.Clone(c.flags)
}

// store is STORE and UID STORE (RFC 9051 section 6.4.6, RFC 7162 section 3.1.3).
func (s *imapSession) store(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	c, err := p.store()
	if err != nil {
		return imapResponse{}, err
	}
	switch {
	case s.server.o.Quirks.NoDescending && c.set.descending():
		return imapBad("a set goes upwards"), nil
	case c.guarded && !s.has("CONDSTORE"):
		return imapBad("UNCHANGEDSINCE is not for here"), nil
	case s.open.readOnly:
		return imapNo("[READ-ONLY] the mailbox is open for reading"), nil
	}
	r := imapOK("stored")
	if c.guarded {
		r.untagged = s.useCondstore()
	}
	defer s.account.lock()()
	v, byUID := s.open, e.Verb == "UID STORE"
	picked, ok := v.pick(c.set, byUID)
	if !ok {
		return imapBad("no such message"), nil
	}
	var modified imapSet
	changed := false
	for _, i := range picked {
		row := &v.rows[i]
		if c.guarded && row.ModSeq > c.unchanged {
			if byUID {
				modified = modified.add(row.UID)
			} else {
				modified = modified.add(uint32(i) + 1)
			}
			continue
		}
		if flags := c.apply(row.Flags); !e.pretended && !row.gone && !slices.Equal(flags, row.Flags) {
			v.mailbox.setFlags(row.imapMessage, flags)
			changed = true
		}
		row.modseq = row.ModSeq
		r.untagged = append(r.untagged, s.storedRow(i, row, c.silent, byUID)...)
	}
	if changed {
		v.mailbox.changed()
	}
	if len(modified) > 0 {
		r.line = "OK [MODIFIED " + modified.String() + "] the others are stored"
	}
	return r, nil
}

// storedRow is the FETCH response that STORE owes; none if it was to be silent and
// the client does not follow modification sequences.
func (s *imapSession) storedRow(i int, row *imapSeen, silent, byUID bool) string {
	var items []string
	if byUID || s.enabled["QRESYNC"] {
		items = append(items, fmt.Sprintf("UID %d", row.UID))
	}
	if !silent {
		items = append(items, "FLAGS ("+strings.Join(row.Flags, " ")+")")
	}
	if s.enabled["CONDSTORE"] {
		items = append(items, fmt.Sprintf("MODSEQ (%d)", row.ModSeq))
	}
	if silent && !s.enabled["CONDSTORE"] {
		return ""
	}
	return fmt.Sprintf("* %d FETCH (%s)\r\n", i+1, strings.Join(items, " "))
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 4315 section 2.1). The news behind the
// response tells what went.
func (s *imapSession) expunge(e *IMAPEvent, p *imapParser) (imapResponse, error) {
	var uids imapSet
	if e.Verb == "UID EXPUNGE" {
		var err error
		if uids, err = p.set(); err != nil {
			return imapResponse{}, err
		}
		if s.server.o.Quirks.NoDescending && uids.descending() {
			return imapBad("a set goes upwards"), nil
		}
	}
	if err := p.end(); err != nil {
		return imapResponse{}, err
	}
	if s.open.readOnly {
		return imapNo("[READ-ONLY] the mailbox is open for reading"), nil
	}
	if !e.pretended {
		s.open.expungeMarked(uids)
	}
	r := imapOK("expunged")
	if s.enabled["QRESYNC"] { // RFC 7162 section 3.2.8
		r.line = fmt.Sprintf("OK [HIGHESTMODSEQ %d] expunged", s.open.mailbox.HighestModSeq())
	}
	return r, nil
}
