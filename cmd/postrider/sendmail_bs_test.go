package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/outbox"
)

// dialogueSpool takes messages over, as the queue does.
type dialogueSpool struct {
	mails []dialogueMail
	texts []string
	err   error // instead
	read  int64 // with err: octets that are read before
}

func (s *dialogueSpool) submit(_ context.Context, m dialogueMail, text io.Reader) error {
	if s.err != nil {
		_, _ = io.CopyN(io.Discard, text, s.read)
		return s.err
	}
	all, err := io.ReadAll(text)
	if err != nil {
		return err
	}
	s.mails, s.texts = append(s.mails, m), append(s.texts, string(all))
	return nil
}

// dialogueHello is how each transcript begins.
const dialogueHello = `
S: 220 mx.example ESMTP postrider
C: EHLO laptop
S: 250-mx.example
S: 250-PIPELINING
S: 250-SIZE 2147483648
S: 250-8BITMIME
S: 250-SMTPUTF8
S: 250-DSN
S: 250 ENHANCEDSTATUSCODES
`

// dialogueTalk plays a transcript: lines behind C: that follow one another are sent in one
// go, those behind S: are what must come. At its end the input ends.
func dialogueTalk(t *testing.T, transcript string, submit dialogueSubmit) error {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	ended := make(chan error, 1)
	go func() {
		defer server.Close()
		ended <- dialogue(t.Context(), server, server, "mx.example", submit)
	}()
	replies := bufio.NewReader(client)
	var said strings.Builder
	commands := ""
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s\n%s", said.String(), fmt.Sprintf(format, args...))
	}
	for line := range strings.SplitSeq(strings.Trim(transcript, "\n"), "\n") {
		if command, ok := strings.CutPrefix(line, "C:"); ok {
			commands += strings.TrimPrefix(command, " ") + "\r\n"
			continue
		}
		want, ok := strings.CutPrefix(line, "S: ")
		if !ok {
			t.Fatalf("the transcript has the line %q", line)
		}
		if commands != "" {
			fmt.Fprintf(&said, "C: %q\n", commands)
			if _, err := io.WriteString(client, commands); err != nil {
				fail("write: %v", err)
			}
			commands = ""
		}
		got, err := replies.ReadString('\n')
		fmt.Fprintf(&said, "S: %q\n", got)
		if err != nil || got != want+"\r\n" {
			fail("want %q; %v", want, err)
		}
	}
	if commands != "" {
		if _, err := io.WriteString(client, commands); err != nil {
			fail("write: %v", err)
		}
	}
	_ = client.Close()
	return <-ended
}

func TestDialogue(t *testing.T) {
	t.Parallel()
	var s dialogueSpool
	err := dialogueTalk(t, dialogueHello+`C: MAIL FROM:<ada@example.org> SIZE=100 BODY=8BITMIME RET=hdrs ENVID=a+2Bb+20c
S: 250 2.1.0 sender noted
C: rcpt to:<Bob@EXAMPLE.net> NOTIFY=failure,delay ORCPT=rfc822;robert+2Bx@example.net
S: 250 2.1.5 recipient noted
C: RCPT TO:<@relay.example,@b.example:"a\">b"@example.net>
S: 250 2.1.5 recipient noted
C: RCPT TO:<root>
S: 250 2.1.5 recipient noted
C: DATA
S: 354 the message, please, and then a line of a single dot
C: Subject: x
C:
C: ..
C: .x
C: end
C: .
S: 250 2.0.0 queued
C: NOOP whatever
S: 250 2.0.0 done
C: VRFY ada
S: 252 2.0.0 that shows when a message is sent there
C: HELP
S: 214 2.0.0 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT
C: MAIL FROM:<>
C: RCPT TO:<jörg@bücher.example>
C: RSET
C: MAIL FROM:<> SMTPUTF8
C: RCPT TO:<jörg@bücher.example>
C: DATA
S: 250 2.1.0 sender noted
S: 553 5.6.7 the address is not ASCII, and SMTPUTF8 was not asked for
S: 250 2.0.0 forgotten
S: 250 2.1.0 sender noted
S: 250 2.1.5 recipient noted
S: 354 the message, please, and then a line of a single dot
C: .
S: 250 2.0.0 queued
C: HELO again
S: 250 mx.example
C: QUIT
S: 221 2.0.0 goodbye
`, s.submit)
	if err != nil {
		t.Fatal(err)
	}
	want := []dialogueMail{
		{from: "ada@example.org", body8: true, ret: "HDRS", envid: "a+b c", rcpts: []dialogueRcpt{
			{address: "Bob@example.net", notify: "FAILURE,DELAY", original: "robert+x@example.net"},
			{address: `"a\">b"@example.net`}, {address: "root"},
		}},
		{utf8: true, rcpts: []dialogueRcpt{{address: "jörg@xn--bcher-kva.example"}}},
	}
	if got := fmt.Sprintf("%+v", s.mails); got != fmt.Sprintf("%+v", want) {
		t.Errorf("envelopes\n got %s\nwant %+v", got, want)
	}
	if want := []string{"Subject: x\r\n\r\n.\r\nx\r\nend\r\n", ""}; !slices.Equal(s.texts, want) {
		t.Errorf("texts\n got %q\nwant %q", s.texts, want)
	}
}

// TestDialogueRefusals has commands and their replies, each behind MAIL.
func TestDialogueRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ command, reply string }{
		{"MAIL FROM:<ada@example.org>", "503 5.5.1 there is a sender; RSET forgets it"},
		{"RCPT TO: <bob@example.org>", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:bob@example.org", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<>", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<a@example.org", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<a@example.org>x", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<a@example.org,b@example.org>", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<g:a@example.org>", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<a <b@example.org>", "501 5.5.4 it is RCPT TO:<ada@example.org>"},
		{"RCPT TO:<a@example.org> X=1", "555 5.5.4 a parameter is not known"},
		{"RCPT TO:<a@example.org> NOTIFY=NEVER,DELAY", "501 5.5.4 the parameter NOTIFY is wrong"},
		{"RCPT TO:<a@example.org> NOTIFY=DELAY NOTIFY=DELAY", "501 5.5.4 the parameter NOTIFY is wrong"},
		{"RCPT TO:<a@example.org> ORCPT=rfc822;a+0Ab", "501 5.5.4 the parameter ORCPT is wrong"},
		{"RCPT TO:<a@example.org> ORCPT=rfc822", "501 5.5.4 the parameter ORCPT is wrong"},
		{"RSET|MAIL FROM:<a@example.org> ENVID=a+2", "250 2.0.0 forgotten|501 5.5.4 the parameter ENVID is wrong"},
		{"RSET|MAIL FROM:<a@example.org> BODY=BINARYMIME", "250 2.0.0 forgotten|501 5.5.4 the parameter BODY is wrong"},
		{"RSET|MAIL FROM:<a@example.org> SIZE=2147483649", "250 2.0.0 forgotten|552 5.3.4 the message is too large"},
		{"RSET|MAIL FROM:<a@example.org> SIZE=-1", "250 2.0.0 forgotten|501 5.5.4 the parameter SIZE is wrong"},
		{"RSET|RCPT TO:<a@example.org>", "250 2.0.0 forgotten|503 5.5.1 MAIL comes first"},
		{"EHLO a|RCPT TO:<a@example.org>", strings.TrimSpace(strings.ReplaceAll(dialogueHello[strings.Index(dialogueHello, "250"):], "\nS: ", "|")) + "|503 5.5.1 MAIL comes first"},
		{"RSET x", "501 5.5.4 RSET has no parameter"},
		{"QUIT x", "501 5.5.4 QUIT has no parameter"},
		{"VRFY", "501 5.5.4 verify whom?"},
		{"EHLO", "501 5.5.4 EHLO needs a name"},
		{"STARTTLS", "502 5.5.1 STARTTLS is not offered"},
		{"GET / HTTP/1.1", "500 5.5.1 unknown command"},
		{"", "500 5.5.1 unknown command"},
		{"NOOP " + strings.Repeat("x", 2043-2), "250 2.0.0 done"},
		{"NOOP " + strings.Repeat("x", 2043-1), "500 5.5.2 the line is too long"},
		{"NOOP " + strings.Repeat("x", 300_000) + "|NOOP", "500 5.5.2 the line is too long|250 2.0.0 done"},
	} {
		script := dialogueHello + "C: MAIL FROM:<ada@example.org>\nS: 250 2.1.0 sender noted\n" +
			"C: " + strings.ReplaceAll(tt.command, "|", "\nC: ") + "\nS: " + strings.ReplaceAll(tt.reply, "|", "\nS: ") +
			"\nC: QUIT\nS: 221 2.0.0 goodbye"
		var s dialogueSpool
		if err := dialogueTalk(t, script, s.submit); err != nil || len(s.mails) > 0 {
			t.Errorf("%.60q: %v, %d messages", tt.command, err, len(s.mails))
		}
	}
	if err := dialogueTalk(t, "S: 220 mx.example ESMTP postrider\nC: MAIL FROM:<>\nS: 503 5.5.1 EHLO comes first", nil); err != nil {
		t.Error(err)
	}
}

func TestT72DialogueControlCharacters(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\x00", "\r", "\n", "\t", "\x1b", "\x7f"} {
		var s dialogueSpool
		out, err := dialogueBatch(t, "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>"+bad+"x\r\nRCPT TO:<b@example.org"+bad+">\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", s.submit)
		if err != nil || len(s.mails) > 0 || !strings.Contains(out, "500 5.5.2") || !strings.Contains(out, "554 5.5.1 there is no valid recipient") {
			t.Errorf("%q: %v, messages %+v, replies\n%s", bad, err, s.mails, out)
		}
	}
}

func TestT73DialogueRecipients(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"-oQ/tmp", "|cmd", ":include:/etc/passwd", "/etc/passwd", "a@-b.example", "a@b..example", "@", "a@", "''"} {
		var s dialogueSpool
		out, err := dialogueBatch(t, "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<"+bad+">\r\nQUIT\r\n", s.submit)
		if lines := strings.Split(out, "\r\n"); err != nil || !strings.HasPrefix(lines[len(lines)-3], "5") {
			t.Errorf("%s: %v, replies\n%s", bad, err, out)
		}
	}
}

// dialogueBatch runs a dialogue that was written in one go.
func dialogueBatch(t *testing.T, in string, submit dialogueSubmit) (replies string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = dialogue(t.Context(), strings.NewReader(in), &out, "mx.example", submit)
	return out.String(), err
}

const dialogueBegun = "EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"

// TestT75DialogueEnd: only CRLF.CRLF ends a message, and dots are unstuffed only
// behind CRLF.
func TestT75DialogueEnd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64<<10-1) // with CR as much as is read at once
	for _, tt := range []struct{ sent, want string }{
		{"a\r\n", "a\r\n"},
		{"", ""},
		{"\r\n", "\r\n"},
		{"a\n.\r\nb\r\n", "a\n.\r\nb\r\n"},
		{"a\r\n.\nb\r\n", "a\r\n\nb\r\n"},
		{"a\n.\nb\r\n", "a\n.\nb\r\n"},
		{"a\r.\r\nb\r\n", "a\r.\r\nb\r\n"},
		{"a\r\n.\rb\r\n", "a\r\n\rb\r\n"},
		{"a\r\n.\r\r\nb\r\n", "a\r\n\r\r\nb\r\n"},
		{"a\r\r\n..\r\n", "a\r\r\n.\r\n"},
		{"..a\r\n...\r\n", ".a\r\n..\r\n"},
		{"\x00\xff\r\n", "\x00\xff\r\n"},
		{long + "\r\n..\r\n", long + "\r\n.\r\n"},
		{long + "\n..\r\n", long + "\n..\r\n"},
		{long + "x.\r\n", long + "x.\r\n"},
	} {
		var s dialogueSpool
		out, err := dialogueBatch(t, dialogueBegun+tt.sent+".\r\nQUIT\r\n", s.submit)
		if err != nil || len(s.texts) != 1 || s.texts[0] != tt.want || !strings.HasSuffix(out, "250 2.0.0 queued\r\n221 2.0.0 goodbye\r\n") {
			t.Errorf("%.40q: %.40q, %v; want %.40q; replies\n%s", tt.sent, s.texts, err, tt.want, out)
		}
	}
}

// TestDialogueCut ends the input at every octet of a dialogue.
func TestDialogueCut(t *testing.T) {
	t.Parallel()
	whole := dialogueBegun + "Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"
	dot := strings.LastIndex(whole, ".\r\n") + 3
	for n := range len(whole) + 1 {
		var s dialogueSpool
		out, err := dialogueBatch(t, whole[:n], s.submit)
		inside := n >= strings.Index(whole, "RCPT") && n < dot
		if got := len(s.mails) == 1 && strings.Contains(out, "250 2.0.0 queued"); got != (n >= dot) || len(s.mails) > 1 {
			t.Errorf("cut behind %q: %d messages, replies\n%s", whole[:n], len(s.mails), out)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) != inside || err != nil && !inside {
			t.Errorf("cut behind %q: %v", whole[:n], err)
		}
	}
}

// TestDialogueTextIsNoCommand: the text of a message that is refused before it
// comes is not carried out.
func TestDialogueTextIsNoCommand(t *testing.T) {
	t.Parallel()
	evil := "MAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\nevil\r\n.\r\n"
	for _, tt := range []struct{ before, reply string }{
		{"MAIL FROM:<a@example.org>\r\nRCPT TO:<a@example.org>\r\nDATA x\r\n" + evil + "DATA\r\n.\r\n", "503 5.5.1 MAIL comes first"},
		{"", "503 5.5.1 MAIL comes first"},
		{"MAIL FROM:<a@example.org>\r\nRCPT TO:<|x>\r\n", "554 5.5.1 there is no valid recipient"},
		{"MAIL FROM:<a@example.org> SIZE=9999999999\r\nRCPT TO:<a@example.org>\r\n", "503 5.5.1 MAIL comes first"},
	} {
		var s dialogueSpool
		out, err := dialogueBatch(t, "EHLO a\r\n"+tt.before+"DATA\r\n"+evil+"QUIT\r\n", s.submit)
		if err != nil || len(s.mails) > 0 || !strings.HasSuffix(out, tt.reply+"\r\n221 2.0.0 goodbye\r\n") {
			t.Errorf("%q: %v, %d messages, replies\n%s", tt.before, err, len(s.mails), out)
		}
	}
}

// TestT84DialogueReplies: 250 only for what was taken over; the dialogue goes on
// behind any other reply.
func TestT84DialogueReplies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   error
		reply string
	}{
		{nil, "250 2.0.0 queued"},
		{errors.New("disk is\nänderbar"), "451 4.3.0 disk is; ?nderbar"},
		{fmt.Errorf("write message: %w", syscall.ENOSPC), "452 4.3.1 write message: no space left on device"},
		{fmt.Errorf("queue: %w", &outbox.Refusal{Problem: "no account", Remedy: "add one"}), "554 5.0.0 queue: no account (add one)"},
		{dialogueClass(false), "451 4.3.0 class"},
		{dialogueClass(true), "554 5.0.0 class"},
		{context.DeadlineExceeded, "451 4.3.0 context deadline exceeded"},
	} {
		for _, read := range []int64{0, 3, 1 << 20} {
			s := dialogueSpool{err: tt.err, read: read}
			out, err := dialogueBatch(t, dialogueBegun+"a\r\nb\r\n.\r\nRSET\r\nQUIT\r\n", s.submit)
			if err != nil || !strings.HasSuffix(out, tt.reply+"\r\n250 2.0.0 forgotten\r\n221 2.0.0 goodbye\r\n") {
				t.Errorf("%v after %d octets: %v, replies\n%s", tt.err, read, err, out)
			}
		}
	}
	careless := func(_ context.Context, _ dialogueMail, text io.Reader) error {
		_, _ = io.CopyN(io.Discard, text, 3)
		return nil
	}
	if out, err := dialogueBatch(t, dialogueBegun+"a\r\n.\r\nQUIT\r\n", careless); err != nil || !strings.Contains(out, "451 4.3.0 the message was not read to its end") {
		t.Errorf("not read to the end: %v, replies\n%s", err, out)
	}
}

// dialogueClass is an error that says whether it is permanent.
type dialogueClass bool

func (dialogueClass) Error() string     { return "class" }
func (c dialogueClass) Permanent() bool { return bool(c) }

// FuzzDialogue: a message that was taken over stands in the input between two line
// ends and CRLF.CRLF, and every 250 to a text is for one that was taken over.
func FuzzDialogue(f *testing.F) {
	f.Add(dialogueBegun + "Subject: x\r\n\r\n..\r\n.x\r\n.\r\nQUIT\r\n")
	f.Add(dialogueBegun + "a\n.\r\nb\r\n.\nc\r\n.\r\r\n.\r\n" + dialogueBegun + ".\r\n")
	f.Add("HELO a\r\nMAIL FROM:<> SMTPUTF8 RET=FULL ENVID=a+2Bb\r\nRCPT TO:<ö@x.example> NOTIFY=NEVER ORCPT=rfc822;a\r\nDATA\r\nx")
	f.Add("RCPT TO:<@a,@b:c@d.example>\r\nDATA x\r\n.\r\nRSET\r\nVRFY x\r\nNOOP\nHELP\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		var s dialogueSpool
		out, err := dialogueBatch(t, in, s.submit)
		if n := strings.Count(out, "\r\n250 2.0.0 queued\r\n"); n != len(s.mails) {
			t.Fatalf("%d messages, of which %d were answered with 250; %v", len(s.mails), n, err)
		}
		for i, text := range s.texts {
			if !wasSent(in, text) {
				t.Fatalf("the text %q is none of %q", text, in)
			}
			if len(s.mails[i].rcpts) == 0 {
				t.Fatalf("a message to nobody")
			}
			for _, r := range s.mails[i].rcpts {
				if strings.ContainsFunc(r.address+r.original+r.notify, func(c rune) bool { return c < ' ' || c == 0x7f }) || r.address == "" {
					t.Fatalf("the recipient %q", r)
				}
			}
		}
		for line := range strings.SplitSeq(out, "\n") {
			if len(line) > 511 {
				t.Fatalf("a reply of %d octets", len(line)+1)
			}
		}
	})
}

// wasSent finds a text in a dialogue by the rule of RFC 5321 section 4.5.2, from
// any line of it to the first CRLF.CRLF.
func wasSent(in, text string) bool {
	for at := 0; ; {
		i := strings.Index(in[at:], "\r\n")
		if i < 0 {
			return false
		}
		if end := strings.Index(in[at+i:], "\r\n.\r\n"); end >= 0 {
			lines := in[at+i : at+i+end+2]
			if strings.ReplaceAll(lines, "\r\n.", "\r\n")[2:] == text {
				return true
			}
		}
		at += i + 2
	}
}
