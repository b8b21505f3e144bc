package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
)

// Limits of a dialogue.
const (
	dialogueLine   = 2048   // octets of a command with its line end
	dialogueRcpts  = 10_000 // of one message
	dialogueErrors = 100    // refused commands, then the dialogue is ended
	dialogueSize   = 2 << 30
)

// dialogueMail is the envelope of a message that came in a dialogue.
type dialogueMail struct {
	from  string // the reverse-path without brackets; empty: the null sender
	rcpts []dialogueRcpt
	body8 bool   // BODY=8BITMIME
	utf8  bool   // SMTPUTF8
	ret   string // RET: empty, FULL or HDRS
	envid string // ENVID, decoded
}

// dialogueRcpt is a recipient. Addresses may be bare local names.
type dialogueRcpt struct {
	address  string
	notify   string // NOTIFY: empty, NEVER, or words with commas
	original string // ORCPT of the type rfc822, decoded
}

// dialogueSubmit takes a message over, and returns nil only when it has read the
// text up to io.EOF and the message is durable. Any other end of the text is an
// error, and nothing may be kept then. The text is as it was received, with dots
// unstuffed; it must not be used afterwards. An error with Permanent() true tells
// the other side to give the message up, any other to try again.
type dialogueSubmit func(ctx context.Context, m dialogueMail, text io.Reader) error

// dialogue is a mail server (RFC 5321) for one program that has called
// `sendmail -bs`, with PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN and enhanced
// status codes. It goes like this:
//
//  1. Greet as host, and answer commands. Replies are held back as long as more
//     commands are there already.
//  2. DATA hands the text to submit while it comes in. Only CRLF.CRLF ends it.
//  3. The reply to it is 250 if submit returned nil, and else says whether to try
//     again. What is refused is read to its end all the same.
//
// It returns nil after QUIT, or when the input ends between two messages; what was
// answered with 250 is durable then and whatever it returns. An input that ends
// inside a message is io.ErrUnexpectedEOF. When ctx is done it ends between two
// commands, and if in has read deadlines, as pipes do, also while it waits.
func dialogue(ctx context.Context, in io.Reader, out io.Writer, host string, submit dialogueSubmit) error {
	d := &dialogueServer{in: bufio.NewReaderSize(in, 64<<10), out: bufio.NewWriter(out), host: host, submit: submit}
	defer interruptReads(ctx, in)()
	d.say("220 " + host + " ESMTP postrider")
	err := d.serve(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
		d.say("421 4.3.2 interrupted; what was not accepted is to be sent again")
	}
	if flushed := d.out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		return fmt.Errorf("SMTP dialogue: %w", err)
	}
	return nil
}

// interruptReads makes reads of in fail when ctx is done. The function it returns
// ends that.
func interruptReads(ctx context.Context, in io.Reader) (release func()) {
	conn, ok := in.(interface{ SetReadDeadline(time.Time) error })
	if !ok {
		return func() {}
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // files have none: the next command notices
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// dialogueServer is the state of a dialogue.
type dialogueServer struct {
	in     *bufio.Reader
	out    *bufio.Writer
	host   string
	submit dialogueSubmit

	greeted bool          // by HELO or EHLO
	mail    *dialogueMail // begun by MAIL
	errors  int
}

func (d *dialogueServer) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		line, problem, err := d.line()
		switch {
		case errors.Is(err, io.EOF) && d.mail == nil:
			return nil
		case errors.Is(err, io.EOF):
			return errDialogueCut()
		case err != nil:
			return fmt.Errorf("read command: %w", err)
		case problem != "":
			d.say(problem)
		default:
			verb, arg, _ := strings.Cut(line, " ")
			verb = strings.ToUpper(verb)
			if verb == "DATA" {
				err = d.data(ctx, arg)
			} else {
				d.say(d.command(verb, arg))
			}
			if err != nil || verb == "QUIT" && arg == "" {
				return err
			}
		}
		if d.errors >= dialogueErrors {
			d.say("421 4.7.0 too many errors")
			return errors.New("too many errors")
		}
	}
	return ctx.Err()
}

func errDialogueCut() error {
	return dialogueCutError{}
}

// say puts down a reply. A failure to write it shows when it is flushed.
func (d *dialogueServer) say(reply string) {
	if reply[0] == '4' || reply[0] == '5' {
		d.errors++
	}
	_, _ = d.out.WriteString(reply + "\r\n")
}

// line returns the next command without its line end, or the reply to one that is
// none. What came so far is answered first if the next command is not there yet.
// A line that the input's end cuts off is not carried out.
func (d *dialogueServer) line() (line, problem string, err error) {
	if ahead, _ := d.in.Peek(d.in.Buffered()); bytes.IndexByte(ahead, '\n') < 0 {
		if err := d.out.Flush(); err != nil {
			return "", "", err
		}
	}
	octets, err := d.in.ReadSlice('\n')
	long := len(octets) > dialogueLine
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = d.in.ReadSlice('\n')
	}
	if err != nil {
		return "", "", err
	}
	if long {
		return "", "500 5.5.2 the line is too long", nil
	}
	line, ok := strings.CutSuffix(string(octets), "\r\n")
	if !ok {
		return "", "500 5.5.2 a line ends in CR and LF", nil
	}
	for _, c := range []byte(line) {
		if c < ' ' || c == 0x7f {
			return "", "500 5.5.2 the line has a control character", nil
		}
	}
	return strings.TrimRight(line, " "), "", nil // RFC 5321 section 4.1.1
}

// command carries out any command but DATA.
func (d *dialogueServer) command(verb, arg string) (reply string) {
	switch verb {
	case "HELO", "EHLO":
		return d.hello(verb, arg)
	case "MAIL":
		return d.begin(arg)
	case "RCPT":
		return d.rcpt(arg)
	case "NOOP":
		return "250 2.0.0 done"
	case "HELP":
		return "214 2.0.0 HELO EHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"
	case "VRFY":
		if arg == "" {
			return "501 5.5.4 verify whom?"
		}
		return "252 2.0.0 that shows when a message is sent there"
	case "RSET", "QUIT":
		if arg != "" {
			return "501 5.5.4 " + verb + " has no parameter"
		}
		if d.mail = nil; verb == "QUIT" {
			return "221 2.0.0 goodbye"
		}
		return "250 2.0.0 forgotten"
	case "EXPN", "ETRN", "TURN", "AUTH", "STARTTLS", "BDAT", "SEND", "SOML", "SAML":
		return "502 5.5.1 " + verb + " is not offered"
	}
	return "500 5.5.1 unknown command"
}

// hello also ends a transaction (RFC 5321 section 4.1.4).
func (d *dialogueServer) hello(verb, name string) string {
	if name == "" {
		return "501 5.5.4 " + verb + " needs a name"
	}
	d.greeted, d.mail = true, nil
	if verb == "HELO" {
		return "250 " + d.host
	}
	return strings.Join([]string{
		"250-" + d.host, "250-PIPELINING", fmt.Sprintf("250-SIZE %d", dialogueSize),
		"250-8BITMIME", "250-SMTPUTF8", "250-DSN", "250 ENHANCEDSTATUSCODES",
	}, "\r\n")
}

// data reads a text and answers. Its error ends the dialogue.
//
// Every DATA gets a 354, and what is wrong with it is said behind the text (RFC
// 2920 section 3.1 tells clients to expect that). A script that writes its whole
// dialogue in one go sends the text anyway, and the lines of a message, which a
// stranger may have written, must not be taken for commands.
func (d *dialogueServer) data(ctx context.Context, arg string) error {
	mail := d.mail
	d.mail = nil
	_, _ = d.out.WriteString("354 the message, please, and then a line of a single dot\r\n")
	if err := d.out.Flush(); err != nil {
		return err
	}
	text := &dialogueText{in: d.in, atStart: true, left: dialogueSize}
	problem, err := "", error(nil)
	switch {
	case arg != "":
		problem = "501 5.5.4 DATA has no parameter"
	case mail == nil:
		problem = "503 5.5.1 MAIL comes first"
	case len(mail.rcpts) == 0:
		problem = "554 5.5.1 there is no valid recipient"
	default:
		err = d.submit(ctx, *mail, text)
	}
	whole := text.ended
	if lost := text.drain(); errors.Is(lost, io.ErrUnexpectedEOF) {
		return errDialogueCut()
	} else if lost != nil {
		return fmt.Errorf("read message: %w", lost)
	}
	switch {
	case problem != "":
		d.say(problem)
	case text.tooLarge():
		d.say(fmt.Sprintf("552 5.3.4 the message has more than %d octets", dialogueSize))
	case err != nil:
		d.say(dialogueRefusal(err))
	case !whole:
		d.say("451 4.3.0 the message was not read to its end")
	default:
		d.say("250 2.0.0 queued")
	}
	return nil
}

// dialogueRefusal is the reply to a message that could not be taken over.
func dialogueRefusal(err error) string {
	var class interface{ Permanent() bool }
	reply := "451 4.3.0 "
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		reply = "452 4.3.1 "
	case errors.As(err, &class) && class.Permanent():
		reply = "554 5.0.0 "
	}
	return reply + dialogueWords(err)
}

// dialogueWords fits an error into a reply, which is one line of ASCII and of 512
// octets at most (RFC 5321 section 4.5.3.1.5).
func dialogueWords(err error) string {
	words := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.ReplaceAll(err.Error(), "\n", "; "))
	return words[:min(len(words), 400)]
}

// dialogueText is the text between a 354 and the final dot, with dots unstuffed
// (RFC 5321 section 4.5.2). A line begins behind CRLF and nowhere else: where
// two programs take other things for the end of a line, one message becomes two.
type dialogueText struct {
	in      *bufio.Reader
	left    int64  // octets that the text may still have
	piece   []byte // what is left of the piece that was read last
	atStart bool   // of a line
	afterCR bool   // which the piece before ended with
	ended   bool   // by the dot
	err     error
}

// dialogueSizeError says that a message is too large.
type dialogueSizeError struct{}

func (dialogueSizeError) Error() string   { return "the message is too large" }
func (dialogueSizeError) Permanent() bool { return true }

func (t *dialogueText) tooLarge() bool { return t.left < 0 }

// Read returns io.EOF behind CRLF.CRLF, and never otherwise.
func (t *dialogueText) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for len(t.piece) == 0 {
		if t.tooLarge() {
			return 0, dialogueSizeError{}
		}
		if err := t.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, t.piece)
	t.piece = t.piece[n:]
	return n, nil
}

// next reads a piece: a line, or a part of one that is long.
func (t *dialogueText) next() error {
	if t.err != nil {
		return t.err
	}
	octets, err := t.in.ReadSlice('\n')
	switch {
	case errors.Is(err, io.EOF):
		t.err = io.ErrUnexpectedEOF
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		t.err = err
	case t.atStart && string(octets) == ".\r\n":
		t.ended, t.err = true, io.EOF
	}
	if t.err != nil {
		return t.err
	}
	stuffed := t.atStart && octets[0] == '.'
	t.atStart = bytes.HasSuffix(octets, []byte("\r\n")) || t.afterCR && string(octets) == "\n"
	t.afterCR = octets[len(octets)-1] == '\r'
	if stuffed {
		octets = octets[1:]
	}
	t.piece = octets
	if t.left >= 0 {
		t.left -= int64(len(octets))
	}
	return nil
}

// drain reads what is left of the text, to the dot.
func (t *dialogueText) drain() error {
	for {
		if err := t.next(); errors.Is(err, io.EOF) && t.ended {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// dialogueCutError is an input that ended inside a message.
type dialogueCutError struct{}

func (dialogueCutError) Error() string {
	return "the input ended before the message did, which was not accepted: " + io.ErrUnexpectedEOF.Error()
}
func (dialogueCutError) Unwrap() error { return io.ErrUnexpectedEOF }
