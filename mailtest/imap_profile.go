package mailtest

import (
	"strings"
	"time"
)

// The profiles are servers that are known to exist, as options to which the
// caller adds users and TLS. What their servers do only at times is left to the
// caller's own quirks or hook, as each says.

// ProfileNetEase is 163.com and 126.com: nothing but refusals until an ID came
// after the login, no UIDNEXT in SELECT, an empty STATUS, no IDLE.
func ProfileNetEase() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 XLIST SPECIAL-USE ID LITERAL+ UIDPLUS SASL-IR X-CM-EXT-1"),
		Mechanisms:   []string{"PLAIN", "XOAUTH2"},
		Quirks:       IMAPQuirks{IDGate: true, NoUIDNext: true, EmptyStatus: true},
	}
}

// ProfileQQ answers each SEARCH with all it has, takes no descending set, and
// tells its capabilities after the login only. Its BYE to logins less than 15 s
// apart is Quirks.LoginEvery.
func ProfileQQ() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4 IMAP4rev1 XLIST MOVE IDLE NAMESPACE CHILDREN ID UIDPLUS"),
		Mechanisms:   []string{"PLAIN", "LOGIN", "XOAUTH2"},
		Quirks:       IMAPQuirks{SearchAll: true, NoDescending: true, CapabilityAfterLogin: true},
	}
}

// ProfileGmailIMAP has X-GM-EXT-1 and labels as mailboxes; messages come with
// [IMAPAccount.Deliver]. It knows no QRESYNC and has room for 15 sessions.
func ProfileGmailIMAP() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS" +
			" COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE" +
			" SASL-IR APPENDLIMIT=35651584"),
		Mechanisms:  []string{"XOAUTH2", "PLAIN", "OAUTHBEARER"},
		MaxSessions: 15,
		LimitText:   "[ALERT] Too many simultaneous connections. (Failure)",
		Quirks: IMAPQuirks{BareModSeq: true, TaggedCopyUID: true, Mailboxes: func(a *IMAPAccount) {
			a.Create("[Gmail]", `\Noselect`)
			a.Create("[Gmail]/All Mail", `\All`)
			a.Create("[Gmail]/Drafts", `\Drafts`)
			a.Create("[Gmail]/Important", `\Important`)
			a.Create("[Gmail]/Sent Mail", `\Sent`)
			a.Create("[Gmail]/Spam", `\Junk`)
			a.Create("[Gmail]/Starred", `\Flagged`)
			a.Create("[Gmail]/Trash", `\Trash`)
		}},
	}
}

// ProfileM365 tells EXISTS before the "+" of IDLE, COPYUID without "* OK", and
// wrong sizes. Its throttling is Quirks.ThrottleAfter, and "BAD User is
// authenticated but not connected." Quirks.NotConnected.
func ProfileM365() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4 IMAP4rev1 SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+"),
		Mechanisms:   []string{"XOAUTH2"},
		Quirks: IMAPQuirks{
			EarlyExists: true,
			BareCode:    true,
			ThrottleFor: 90 * time.Second,
			Size:        func(_ uint32, octets int64) int64 { return 3*octets + 295 },
		},
	}
}

// ProfileICloud says OK to RFC822 and gives nothing, and ENABLEs without a word.
func ProfileICloud() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4 IMAP4rev1 SASL-IR CONDSTORE ENABLE QRESYNC ID IDLE LITERAL+ NAMESPACE UIDPLUS" +
			" UNSELECT XLIST ESEARCH XAPPLEPUSHSERVICE"),
		Mechanisms: []string{"PLAIN"},
		Quirks:     IMAPQuirks{NoRFC822: true, SilentEnable: true},
	}
}

// ProfileYahoo shows the newest 10000 messages of a mailbox; Quirks.Window makes
// it fewer. What it can never give is Quirks.Unavailable, and another message's
// text Quirks.Other.
func ProfileYahoo() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 SASL-IR ID NAMESPACE UIDPLUS LITERAL+ CHILDREN UNSELECT ENABLE MOVE IDLE" +
			" UIDONLY OBJECTID PARTIAL MESSAGELIMIT=1000 ESEARCH STATUS=SIZE"),
		Mechanisms: []string{"PLAIN", "XOAUTH2", "OAUTHBEARER"},
		Quirks:     IMAPQuirks{Window: 10000},
	}
}

// ProfileYandex says BYE until the client closes, and leaves the text of some
// messages out in its first session.
func ProfileYandex() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 SASL-IR CHILDREN UNSELECT LITERAL+ NAMESPACE XLIST UIDPLUS ENABLE ID IDLE MOVE"),
		Mechanisms:   []string{"PLAIN", "XOAUTH2"},
		Quirks: IMAPQuirks{
			RepeatBye: true,
			NoBody:    func(session int, uid uint32) bool { return session == 1 && uid%7 == 3 },
		},
	}
}

// ProfileMailRu writes large sizes as floating point numbers and knows no IDLE.
func ProfileMailRu() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 SASL-IR ID XLIST UIDPLUS UNSELECT MOVE LIST-STATUS"),
		Mechanisms:   []string{"PLAIN", "XOAUTH2"},
		Quirks:       IMAPQuirks{Floats: true},
	}
}

// ProfileProton is Proton's bridge: BAD to a LIST with SPECIAL-USE. Its new
// UIDVALIDITYs and UIDs are [IMAPMailbox.Renumber].
func ProfileProton() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 ID IDLE MOVE UIDPLUS UNSELECT SPECIAL-USE LIST-EXTENDED"),
		Mechanisms:   []string{"PLAIN"},
		Quirks:       IMAPQuirks{BadSpecialUse: true},
	}
}

// ProfileStrato offers LIST-EXTENDED and lists nothing when it is used.
func ProfileStrato() IMAPOptions {
	return IMAPOptions{Mechanisms: []string{"PLAIN"}, Quirks: IMAPQuirks{NoListReturn: true}}
}

// ProfileDovecotLimit has room for ten sessions and says [UNAVAILABLE] to the next.
func ProfileDovecotLimit() IMAPOptions {
	return IMAPOptions{
		Mechanisms:  []string{"PLAIN"},
		MaxSessions: 10,
		LimitText: "[UNAVAILABLE] Maximum number of connections from user+IP exceeded" +
			" (mail_max_userip_connections=10)",
	}
}

// ProfileCourier has few extensions, dots between levels, and no UIDNEXT in SELECT.
func ProfileCourier() IMAPOptions {
	return IMAPOptions{
		Capabilities: strings.Fields("IMAP4rev1 UIDPLUS CHILDREN NAMESPACE IDLE"),
		Mechanisms:   []string{"PLAIN"},
		Delimiter:    ".",
		Quirks:       IMAPQuirks{NoUIDNext: true},
	}
}

// ProfileIdleDead takes IDLE and says nothing from then on, as a line does whose
// middle has forgotten it.
func ProfileIdleDead() IMAPOptions {
	return IMAPOptions{Mechanisms: []string{"PLAIN"}, Quirks: IMAPQuirks{IdleDead: true}}
}
