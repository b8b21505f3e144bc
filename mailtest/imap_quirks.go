package mailtest

import "time"

// IMAPQuirks are standing faults of known servers; the Profile functions set
// them, and a test may set one alone.
type IMAPQuirks struct {
	IDGate               bool          // NO to every command on mailboxes until an ID with fields came after the login
	CapabilityAfterLogin bool          // extensions are listed only after the login
	LoginEvery           time.Duration // a login sooner than this after another one gets a BYE
	NotConnected         func(session int) bool
	SilentEnable         bool // ENABLE says OK without ENABLED
	ThrottleAfter        int  // commands of a session after which all others are told to wait, with a BYE behind it
	ThrottleFor          time.Duration
	RepeatBye            bool // a BYE is said again and again until the client closes

	NoUIDNext     bool   // SELECT does not tell UIDNEXT
	EmptyStatus   bool   // STATUS answers with an empty list
	BadSpecialUse bool   // BAD to a LIST that has SPECIAL-USE in it
	NoListReturn  bool   // a LIST with return options lists nothing
	BareModSeq    bool   // the HIGHESTMODSEQ code has no text behind it
	BareCode      bool   // the COPYUID code of MOVE comes without "* OK" before it
	TaggedCopyUID bool   // the COPYUID code of MOVE comes in the tagged OK
	Window        int    // show at most so many messages, the newest
	Flags         string // what SELECT says of flags, instead of "FLAGS (...)"

	SearchAll    bool                                  // SEARCH answers with all there is
	NoDescending bool                                  // BAD to a set such as 9:7
	Size         func(uid uint32, octets int64) int64  // what RFC822.SIZE says
	Floats       bool                                  // large numbers look like 9.3736e+06
	NoRFC822     bool                                  // FETCH of RFC822 says OK and gives no data
	NoBody       func(session int, uid uint32) bool    // the row comes without the text
	Other        func(uid uint32) uint32               // whose text is served
	Unavailable  func(mailbox string, uid uint32) bool // a FETCH of its text gets NO [UNAVAILABLE]
	UIDLast      bool                                  // the UID comes behind the text

	EarlyExists bool // EXISTS comes before the "+" of IDLE
	IdleDead    bool // IDLE is taken, and then nothing is said any more

	// Mailboxes prepares a new account.
	Mailboxes func(*IMAPAccount)
}
