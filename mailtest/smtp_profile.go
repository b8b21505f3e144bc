package mailtest

import "strings"

// SMTPQuirks are standing faults of known servers; the Profile functions set
// them, and a test may set one alone.
type SMTPQuirks struct {
	NoEHLO      bool   // HELO only
	ClearAuth   bool   // AUTH is offered and taken without TLS, though that is to be had
	TwoLines    bool   // AUTH refuses an initial response on the same line
	ForgetLogin bool   // an EHLO after AUTH forgets the login
	Logins      int    // so many logins in the server's life, then 454
	Disabled    string // what every login is refused with, behind 535
	LoginText   string // what a wrong password is refused with, behind 535
	OwnSender   bool   // MAIL takes the user's own address alone, else 501

	Greylist  bool // the first RCPT of each pair of addresses gets a 450
	Mixed     bool // recipients that begin with "soft-" get a 450, with "hard-" a 550
	EmptyData bool // 354 to a DATA without recipients, and 554 to the dot (RFC 2920 section 3.2)
	No8Bit    bool // without 8BITMIME in the list, texts with octets above 127 get a 554
	Multiline bool // each reply has three lines
	Lost250   bool // the line is cut after the final dot, and the message kept
	NoQuit    bool // QUIT gets no reply, and the line stays open
}

// ProfileSinaSMTP forgets the login when EHLO is said again.
func ProfileSinaSMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: []string{"AUTH=LOGIN PLAIN", "8BITMIME"},
		Mechanisms:   []string{"LOGIN", "PLAIN"},
		RequireAuth:  true,
		NoPipelining: true,
		Quirks:       SMTPQuirks{ForgetLogin: true},
	}
}

// ProfileStratoSMTP forgets the login when EHLO is said again, and has pipelining.
func ProfileStratoSMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: strings.Fields("ENHANCEDSTATUSCODES PIPELINING 8BITMIME"),
		Mechanisms:   []string{"PLAIN", "LOGIN"},
		RequireAuth:  true,
		Quirks:       SMTPQuirks{ForgetLogin: true},
	}
}

// ProfileM365SMTP wants the response of AUTH on a line of its own, and takes
// messages from three connections at once: the final dot on another one gets a 432.
func ProfileM365SMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: strings.Fields("PIPELINING DSN ENHANCEDSTATUSCODES 8BITMIME BINARYMIME CHUNKING SMTPUTF8"),
		Mechanisms:   []string{"LOGIN", "XOAUTH2"},
		RequireAuth:  true,
		Size:         157286400,
		MaxSessions:  3,
		LimitVerb:    "DOT",
		LimitCode:    432,
		LimitText: "4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending" +
			" for more information. [Hostname=MAILTEST.example]",
		Quirks: SMTPQuirks{
			TwoLines:  true,
			LoginText: "5.7.3 Authentication unsuccessful [MAILTEST.example]",
		},
	}
}

// ProfileM365Disabled is ProfileM365SMTP for an account that may not submit.
func ProfileM365Disabled() SMTPOptions {
	o := ProfileM365SMTP()
	o.Quirks.Disabled = "5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant." +
		" Visit https://aka.ms/smtp_auth_disabled for more information. [MAILTEST.example]"
	return o
}

// ProfileGmailSMTP takes ten logins and answers the next with a 454.
func ProfileGmailSMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: strings.Fields("8BITMIME ENHANCEDSTATUSCODES PIPELINING CHUNKING SMTPUTF8"),
		Mechanisms:   strings.Fields("LOGIN PLAIN XOAUTH2 OAUTHBEARER"),
		RequireAuth:  true,
		Size:         35882577,
		Recipients:   100,
		Quirks: SMTPQuirks{
			Logins:    10,
			LoginText: "5.7.8 Username and Password not accepted.\n5.7.8 This account needs an app password.",
		},
	}
}

// ProfileQQSMTP wants the login for the sender, and an authorization code for the
// password.
func ProfileQQSMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: []string{"PIPELINING", "AUTH=LOGIN", "MAILCOMPRESS", "8BITMIME"},
		Mechanisms:   []string{"LOGIN", "PLAIN", "XOAUTH2"},
		RequireAuth:  true,
		Size:         73400320,
		Quirks: SMTPQuirks{
			OwnSender: true,
			LoginText: "Login fail. Account is abnormal, service is not open, password is incorrect," +
				" login frequency limited, or system is busy.",
		},
	}
}

// ProfileNetEaseSMTP is 163.com and 126.com: an authorization code for the
// password, and no logging in for every message.
func ProfileNetEaseSMTP() SMTPOptions {
	return SMTPOptions{
		Capabilities: []string{"PIPELINING", "AUTH=LOGIN PLAIN XOAUTH2", "coremail 1Uxr2xKj7kG0xkI17xGrU7I0s8FY2U3Uj8Cz28x1", "8BITMIME"},
		Mechanisms:   []string{"LOGIN", "PLAIN", "XOAUTH2"},
		RequireAuth:  true,
		Quirks:       SMTPQuirks{LoginText: "Error: authentication failed"},
	}
}

// ProfileSMTPLost250 keeps each message and cuts the line instead of saying so.
func ProfileSMTPLost250() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{Lost250: true}} }

// ProfileSMTPNoQuit never answers QUIT.
func ProfileSMTPNoQuit() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{NoQuit: true}} }

// ProfileSMTPGreylist refuses each pair of sender and recipient once.
func ProfileSMTPGreylist() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{Greylist: true}} }

// ProfileSMTPMixed refuses recipients by how their addresses begin: "soft-" for
// now, "hard-" for good.
func ProfileSMTPMixed() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{Mixed: true}} }

// ProfileSMTPMultiline answers everything in several lines.
func ProfileSMTPMultiline() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{Multiline: true}} }

// ProfileSMTPSmall takes messages of so many octets at most.
func ProfileSMTPSmall(size int64) SMTPOptions { return SMTPOptions{Size: size} }

// ProfileSMTPNoUTF8 does not know SMTPUTF8.
func ProfileSMTPNoUTF8() SMTPOptions { return SMTPOptions{Without: []string{"SMTPUTF8"}} }

// ProfileSMTPNo8Bit does not know 8BITMIME, and refuses what needs it.
func ProfileSMTPNo8Bit() SMTPOptions {
	return SMTPOptions{Without: []string{"8BITMIME", "SMTPUTF8"}, Quirks: SMTPQuirks{No8Bit: true}}
}

// ProfileSMTPBare knows no extension at all, not even EHLO.
func ProfileSMTPBare() SMTPOptions { return SMTPOptions{Quirks: SMTPQuirks{NoEHLO: true}} }
