package remote

import (
	"strings"

	"postrider/imap"
)

// use is what a server keeps a mailbox for (RFC 6154; RFC 8457 for \Important).
// It is also the word for it in a status line.
type use string

const (
	noUse        use = ""
	useAll       use = "all"
	useFlagged   use = "flagged"
	useImportant use = "important"
	useSent      use = "sent"
	useDrafts    use = "drafts"
	useJunk      use = "junk"
	useTrash     use = "trash"
	useArchive   use = "archive"
)

// view reports that a mailbox shows messages that are in others too.
func (u use) view() bool { return u == useAll || u == useFlagged || u == useImportant }

// special returns the use of one mailbox among all that are known.
func special(m imap.Mailbox, all []imap.Mailbox) use { return newSpecials(all).of(&m) }

// specials knows which uses a server has told by attributes.
type specials map[use]bool

func newSpecials(all []imap.Mailbox) specials {
	told := make(specials)
	for i := range all {
		if u := useByAttribute(&all[i]); u != noUse {
			told[u] = true
		}
	}
	return told
}

// of returns the use of a mailbox, by its attribute or else by its name. Names
// are guesses: none is believed for a use that an attribute was given for, and
// none that would leave a mailbox out of what is fetched, a view, if the server
// gives any attributes for uses at all. Several mailboxes can have one use.
func (told specials) of(m *imap.Mailbox) use {
	if u := useByAttribute(m); u != noUse {
		return u
	}
	u := useByName(m)
	if told[u] || u.view() && len(told) > 0 {
		return noUse
	}
	return u
}

// useByAttribute looks for the attributes of RFC 6154 and for those of XLIST,
// which some servers never gave up. A view stays one, whatever else it is.
func useByAttribute(m *imap.Mailbox) use {
	for _, a := range []struct {
		attribute string
		use       use
	}{
		{`\All`, useAll}, {`\AllMail`, useAll},
		{`\Flagged`, useFlagged}, {`\Starred`, useFlagged},
		{`\Important`, useImportant},
		{`\Sent`, useSent},
		{`\Drafts`, useDrafts},
		{`\Junk`, useJunk}, {`\Spam`, useJunk},
		{`\Trash`, useTrash},
		{`\Archive`, useArchive},
	} {
		if m.Is(a.attribute) {
			return a.use
		}
	}
	return noUse
}

// useByName knows the names that servers and mail readers give, at the top, and
// one level below INBOX and the container of Gmail. Only there it takes a name
// for that of a view.
func useByName(m *imap.Mailbox) use {
	name := strings.ToLower(m.Name)
	if m.Delimiter == "" {
		return knownUse(name)
	}
	top, below, nested := strings.Cut(name, m.Delimiter)
	switch {
	case !nested:
		return knownUse(name)
	case strings.Contains(below, m.Delimiter):
		return noUse
	case top == "inbox":
		return knownUse(below)
	case top == "[gmail]", top == "[google mail]":
		if u := gmailView(below); u != noUse {
			return u
		}
		return knownUse(below)
	}
	return noUse
}
