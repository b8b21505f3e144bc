package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sendmailMode is what a call of sendmail asks for.
type sendmailMode int

const (
	sendmailDeliver  sendmailMode = iota // -bm: queue the message on the standard input
	sendmailMailq                        // -bp: show the queue
	sendmailFlush                        // -q: send what waits
	sendmailDialogue                     // -bs: speak SMTP on the standard input and output
	sendmailNothing                      // -bi: rebuild the alias file, which there is none of
)

func (m sendmailMode) String() string {
	switch m {
	case sendmailMailq:
		return "showing the queue"
	case sendmailFlush:
		return "flushing the queue"
	case sendmailDialogue:
		return "an SMTP dialogue"
	case sendmailNothing:
		return "rebuilding aliases"
	}
	return "sending a message"
}

// sendmailCall is one call of the sendmail command. None of its values has a
// control character in it; that its addresses are addresses is not checked.
type sendmailCall struct {
	mode       sendmailMode
	config     string   // -C; empty: none
	verbose    bool     // -v
	queue      string   // what followed -q: nothing, a time, f, IID, RSITE...
	hasFrom    bool     // -f was given
	from       string   // of -f; empty with hasFrom: the null sender
	fullName   string   // -F: the name in a From field that is added
	fromHeader bool     // -t: recipients are in the header, besides those in rcpts
	rcpts      []string // as they were given; each may be a list
	dotEnds    bool     // neither -i nor -oi; see input
	body8      bool     // -B 8BITMIME
	notify     string   // -N: empty, NEVER, or words with commas as RCPT has them
	ret        string   // -R: empty, FULL or HDRS
	envid      string   // -V, not encoded
	hops       int      // -h
}

// Letters of options. A letter that is in neither string is unknown.
const (
	sendmailValued = "ABCDFLMNOQRVXabdefhopr" // a value follows, in the same argument or the next
	sendmailFlags  = "GITUcimnstvx"
)

// parseSendmail reads the arguments of a call under the name sendmail, mailq or
// newaliases. As with Postfix, options end at the first argument that is none,
// or behind --. Options without a meaning here are returned as ignored, for the
// log; those that only speak of what is the case anyway, such as -oem, are not.
// Every error is a usageError.
func parseSendmail(name string, args []string) (call sendmailCall, ignored []string, err error) {
	p := sendmailArgs{call: sendmailCall{mode: sendmailModeOf(name), dotEnds: true}, rest: args}
	if err := p.parse(); err != nil {
		return sendmailCall{}, p.ignored, usageError{err}
	}
	return p.call, p.ignored, nil
}

func sendmailModeOf(name string) sendmailMode {
	switch name {
	case "mailq":
		return sendmailMailq
	case "newaliases":
		return sendmailNothing
	}
	return sendmailDeliver
}

// sendmailArgs are arguments that are being read.
type sendmailArgs struct {
	call    sendmailCall
	rest    []string // not read yet
	ignored []string
}

func (p *sendmailArgs) parse() error {
	for i, arg := range p.rest {
		// A line end in an address or a name would go on as another field of the
		// header, or as another command to the server.
		if strings.ContainsFunc(arg, unicode.IsControl) {
			return fmt.Errorf("argument %d has a control character: %s", i+1, shortened(arg))
		}
	}
	for len(p.rest) > 0 {
		arg := p.rest[0]
		if len(arg) < 2 || arg[0] != '-' {
			break
		}
		p.rest = p.rest[1:]
		if arg == "--" {
			break
		}
		read := p.letters
		if arg[1] == '-' {
			read = p.long
		}
		if err := read(arg); err != nil {
			return err
		}
	}
	p.call.rcpts = slices.Clone(p.rest)
	return p.call.check()
}

// letters reads an argument of one or more letters, the last of which may have
// a value.
func (p *sendmailArgs) letters(arg string) error {
	for at := 1; at < len(arg); {
		letter, n := utf8.DecodeRuneInString(arg[at:])
		value := arg[at+n:]
		switch {
		case letter == 'q': // its value never is the next argument
			p.call.mode, p.call.queue = sendmailFlush, value
			return nil
		case strings.ContainsRune(sendmailValued, letter):
			if value == "" {
				if len(p.rest) == 0 {
					return fmt.Errorf("option -%c needs a value", letter)
				}
				value, p.rest = p.rest[0], p.rest[1:]
			}
			if err := p.valued(letter, value); err != nil {
				return fmt.Errorf("option -%c: %w", letter, err)
			}
			return nil
		case strings.ContainsRune(sendmailFlags, letter):
			p.flag(letter)
		default:
			// What follows may be its value. Read as letters, it could set a sender.
			p.ignored = append(p.ignored, "-"+arg[at:])
			return nil
		}
		at += n
	}
	return nil
}

// flag sets a letter without a value. The others of sendmailFlags ask for what
// is done anyway, or for what no longer is done by anybody.
func (p *sendmailArgs) flag(letter rune) {
	switch letter {
	case 'I':
		p.call.mode = sendmailNothing
	case 'i':
		p.call.dotEnds = false
	case 't':
		p.call.fromHeader = true
	case 'v':
		p.call.verbose = true
	}
}

// valued sets a letter with its value.
func (p *sendmailArgs) valued(letter rune, value string) (err error) {
	c, ok := &p.call, true
	switch letter {
	case 'f', 'r':
		c.hasFrom, c.from = true, value
		if strings.Trim(value, " ") == "<>" {
			c.from = ""
		}
	case 'F':
		c.fullName = value
	case 'C':
		c.config = value
	case 'B':
		c.body8 = strings.EqualFold(value, "8BITMIME")
		if !c.body8 && !strings.EqualFold(value, "7BIT") {
			err = fmt.Errorf("%s is neither 7BIT nor 8BITMIME", shortened(value))
		}
	case 'N':
		if c.notify, ok = parseNotify(value); !ok {
			err = fmt.Errorf("%s is neither never nor a list of success, failure and delay", shortened(value))
		}
	case 'R':
		if c.ret, ok = parseReturn(value); !ok {
			err = fmt.Errorf("%s is neither full nor hdrs", shortened(value))
		}
	case 'V':
		if c.envid = value; !isEnvelopeID(value) {
			err = fmt.Errorf("%s is no envelope identifier, which is 1 to %d printable ASCII characters", shortened(value), maxEnvelopeID)
		}
	case 'h':
		c.hops, err = parseHops(value)
	case 'b':
		c.mode, err = parseMode(value)
	case 'o':
		p.named(value)
	case 'A', 'L', 'e', 'p': // which mail program this is, the log's tag, how to tell errors, the protocol
	default:
		p.ignored = append(p.ignored, "-"+string(letter)) // without the value: the log is not its place
	}
	return err
}

// named sets an option of sendmail's configuration file by its old name, a
// letter. Those that are not here are known to callers, and mean nothing.
func (p *sendmailArgs) named(value string) {
	switch value[:min(1, len(value))] {
	case "i":
		p.call.dotEnds = false
	case "v":
		p.call.verbose = true
	}
}

// long reads an argument such as --name. Sendmail has none. Two of msmtp's are in
// many a configuration of Emacs; any other may have a value in the next argument,
// which must not become a recipient.
func (p *sendmailArgs) long(arg string) error {
	switch arg {
	case "--read-recipients":
		p.call.fromHeader = true
	case "--read-envelope-from": // without -f this is what happens
	default:
		return fmt.Errorf("unknown option %s", shortened(arg))
	}
	return nil
}

// check refuses calls in which something would be left undone without a word: a
// message that is never read, or one to nobody.
func (c *sendmailCall) check() error {
	switch {
	case c.mode == sendmailDeliver && len(c.rcpts) == 0 && !c.fromHeader:
		return errors.New("no recipient: name one, or take them from the header with -t")
	case c.mode != sendmailDeliver && c.fromHeader:
		return fmt.Errorf("option -t is not for %v", c.mode)
	case c.mode != sendmailDeliver && len(c.rcpts) > 0:
		return fmt.Errorf("%v takes no recipients: %s", c.mode, shortened(c.rcpts[0]))
	}
	return nil
}

func parseMode(value string) (sendmailMode, error) {
	switch value {
	case "m":
		return sendmailDeliver, nil
	case "p":
		return sendmailMailq, nil
	case "s":
		return sendmailDialogue, nil
	case "i":
		return sendmailNothing, nil
	}
	return 0, fmt.Errorf("there is no -b%s, but -bm, -bp, -bs and -bi (the daemon is `postrider run`)", printable(value))
}

// maxHops is how many servers a message may have passed (RFC 5321 section 6.3).
const maxHops = 100

func parseHops(value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 31)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s is no number of hops", shortened(value))
	case n > maxHops:
		return 0, fmt.Errorf("a message that has made %d hops is in a loop", n)
	}
	return int(n), nil
}

// parseNotify reads NOTIFY (RFC 3461 section 4.1): NEVER alone, or some of the
// others, which come out in one order and each once.
func parseNotify(text string) (string, bool) {
	if strings.EqualFold(text, "NEVER") {
		return "NEVER", true
	}
	words := []string{"SUCCESS", "FAILURE", "DELAY"}
	asked := make(map[string]bool)
	for word := range strings.SplitSeq(strings.ToUpper(text), ",") {
		if !slices.Contains(words, word) {
			return "", false
		}
		asked[word] = true
	}
	words = slices.DeleteFunc(words, func(w string) bool { return !asked[w] })
	return strings.Join(words, ","), true
}

// parseReturn reads RET (RFC 3461 section 4.3).
func parseReturn(text string) (string, bool) {
	text = strings.ToUpper(text)
	return text, text == "FULL" || text == "HDRS"
}

// maxEnvelopeID is the most of an ENVID before its encoding (RFC 3461 section 4.4).
const maxEnvelopeID = 100

func isEnvelopeID(text string) bool {
	printing := func(r rune) bool { return r >= ' ' && r <= '~' }
	return text != "" && len(text) <= maxEnvelopeID && !strings.ContainsFunc(text, func(r rune) bool { return !printing(r) })
}

// shortened quotes an argument for an error.
func shortened(text string) string {
	if most := 80; len(text) > most {
		return strconv.Quote(text[:most]) + "..."
	}
	return strconv.Quote(text)
}

// input is the message on the standard input. By sendmail's rule a line of a
// single dot ends it, unless -i is there. Here that holds for a person at a
// terminal only. A program ends its message by closing the pipe; one that has
// forgotten -i and sends such a line means it as text, and to stop there would
// lose the rest of its message and report success.
func (c sendmailCall) input(stdin io.Reader, terminal bool) io.Reader {
	if !c.dotEnds || !terminal {
		return stdin
	}
	return &dotEnded{in: bufio.NewReader(stdin)}
}

// dotEnded ends at a line of a single dot.
type dotEnded struct {
	in     *bufio.Reader
	line   []byte // what is left of the piece that was read last
	inside bool   // of a line that is longer than such a piece
	err    error
}

func (d *dotEnded) Read(b []byte) (int, error) {
	if len(d.line) == 0 && d.err == nil {
		d.line, d.err = d.in.ReadSlice('\n')
		if !d.inside && string(bytes.TrimRight(d.line, "\r\n")) == "." {
			d.line, d.err = nil, io.EOF
		}
		d.inside = errors.Is(d.err, bufio.ErrBufferFull)
		if d.inside {
			d.err = nil
		}
	}
	n := copy(b, d.line)
	d.line = d.line[n:]
	if len(d.line) > 0 {
		return n, nil
	}
	return n, d.err
}
