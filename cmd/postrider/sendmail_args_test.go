package main

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// sendmailDefault is a call in which nothing was asked for.
func sendmailDefault(change func(*sendmailCall)) sendmailCall {
	c := sendmailCall{dotEnds: true}
	if change != nil {
		change(&c)
	}
	return c
}

// TestSendmailCallsOfPrograms has the arguments that programs were seen to give.
func TestSendmailCallsOfPrograms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want func(*sendmailCall)
	}{
		{"mutt", []string{"-oem", "-oi", "--", "bob@example.org", "eve@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.rcpts = false, []string{"bob@example.org", "eve@example.org"}
		}},
		{"mutt with everything", []string{"-oem", "-oi", "-B8BITMIME", "-f", "ada@example.org", "-N", "failure,delay", "-R", "hdrs", "--", "bob@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.body8, c.hasFrom, c.from, c.notify, c.ret = false, true, true, "ada@example.org", "FAILURE,DELAY", "HDRS"
			c.rcpts = []string{"bob@example.org"}
		}},
		{"git send-email", []string{"-i", "list@example.org", "Bob <bob@example.org>", "ada@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.rcpts = false, []string{"list@example.org", "Bob <bob@example.org>", "ada@example.org"}
		}},
		{"git send-email with envelopeSender", []string{"-f", "ada@example.org", "-i", "list@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.hasFrom, c.from, c.rcpts = false, true, "ada@example.org", []string{"list@example.org"}
		}},
		{"bsd-mailx", []string{"-i", "-t"}, func(c *sendmailCall) { c.dotEnds, c.fromHeader = false, true }},
		{"bsd-mailx -r", []string{"-i", "-t", "-f", "ada@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.hasFrom, c.from = false, true, true, "ada@example.org"
		}},
		{"s-nail", []string{"-i", "--", "bob@example.org"}, func(c *sendmailCall) { c.dotEnds, c.rcpts = false, []string{"bob@example.org"} }},
		{"s-nail -r, metoo, verbose", []string{"-i", "-m", "-v", "-f", "ada@example.org", "--", "bob@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.verbose, c.hasFrom, c.from, c.rcpts = false, true, true, "ada@example.org", []string{"bob@example.org"}
		}},
		{"GNU mailutils", []string{"-oi", "-f", "ada@laptop.lan", "-t"}, func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.hasFrom, c.from = false, true, true, "ada@laptop.lan"
		}},
		{"Debian cron", []string{"-FCronDaemon", "-i", "-B8BITMIME", "-oem", "ada"}, func(c *sendmailCall) {
			c.dotEnds, c.body8, c.fullName, c.rcpts = false, true, "CronDaemon", []string{"ada"}
		}},
		{"cronie", []string{"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"}, func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.fullName, c.hasFrom, c.from = false, true, "CronDaemon", true, "root"
		}},
		{"cronie 1.7", []string{"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "<>"}, func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.fullName, c.hasFrom = false, true, "CronDaemon", true
		}},
		{"aerc", []string{"bob@example.org", "eve@example.org"}, func(c *sendmailCall) {
			c.rcpts = []string{"bob@example.org", "eve@example.org"}
		}},
		{"Emacs", []string{"-oi", "-oem", "-odi", "-f", "ada@example.org", "-t"}, func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.hasFrom, c.from = false, true, true, "ada@example.org"
		}},
		{"Emacs set up for msmtp", []string{"--read-envelope-from", "-oi", "-oem", "-odi", "bob@example.org"}, func(c *sendmailCall) {
			c.dotEnds, c.rcpts = false, []string{"bob@example.org"}
		}},
		{"sudo, mdadm", []string{"-t"}, func(c *sendmailCall) { c.fromHeader = true }},
		{"unattended-upgrades", []string{"-oi", "-t"}, func(c *sendmailCall) { c.dotEnds, c.fromHeader = false, true }},
		{"fail2ban", []string{"-f", "fail2ban@example.org", "root"}, func(c *sendmailCall) {
			c.hasFrom, c.from, c.rcpts = true, "fail2ban@example.org", []string{"root"}
		}},
		{"PHP", []string{"-t", "-i"}, func(c *sendmailCall) { c.dotEnds, c.fromHeader = false, true }},
	} {
		got, ignored, err := parseSendmail("sendmail", tt.args)
		if want := sendmailDefault(tt.want); err != nil || !sameCall(got, want) {
			t.Errorf("%s: %q:\n got %+v, %v\nwant %+v", tt.name, tt.args, got, err, want)
		}
		if len(ignored) > 0 {
			t.Errorf("%s: a usual call would be logged for %q", tt.name, ignored)
		}
	}
}

func sameCall(a, b sendmailCall) bool {
	if len(a.rcpts)+len(b.rcpts) == 0 {
		a.rcpts, b.rcpts = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestSendmailOptions(t *testing.T) {
	t.Parallel()
	to := []string{"bob@example.org"}
	for _, tt := range []struct {
		args    string // separated by |
		ignored string
		want    func(*sendmailCall)
	}{
		{"-fada@example.org", "", func(c *sendmailCall) { c.hasFrom, c.from = true, "ada@example.org" }},
		{"-r|ada@example.org", "", func(c *sendmailCall) { c.hasFrom, c.from = true, "ada@example.org" }},
		{"-f|", "", func(c *sendmailCall) { c.hasFrom = true }},
		{"-f<>", "", func(c *sendmailCall) { c.hasFrom = true }},
		{"-f|a@example.org|-f|b@example.org", "", func(c *sendmailCall) { c.hasFrom, c.from = true, "b@example.org" }},
		{"-f|-t", "", func(c *sendmailCall) { c.hasFrom, c.from = true, "-t" }},
		{"-F|Ada Lovelace", "", func(c *sendmailCall) { c.fullName = "Ada Lovelace" }},
		{"-FAda Lovelace", "", func(c *sendmailCall) { c.fullName = "Ada Lovelace" }},
		{"-itv", "", func(c *sendmailCall) { c.dotEnds, c.fromHeader, c.verbose = false, true, true }},
		{"-itfada@example.org", "", func(c *sendmailCall) {
			c.dotEnds, c.fromHeader, c.hasFrom, c.from = false, true, true, "ada@example.org"
		}},
		{"-o|i", "", func(c *sendmailCall) { c.dotEnds = false }},
		{"-ov", "", func(c *sendmailCall) { c.verbose = true }},
		{"-bm", "", nil},
		{"-q|-bm", "", func(c *sendmailCall) { c.queue = "" }},
		{"-C|/etc/p.yaml", "", func(c *sendmailCall) { c.config = "/etc/p.yaml" }},
		{"-Nfailure,delay", "", func(c *sendmailCall) { c.notify = "FAILURE,DELAY" }},
		{"-N|delay,success,delay", "", func(c *sendmailCall) { c.notify = "SUCCESS,DELAY" }},
		{"-N|Never", "", func(c *sendmailCall) { c.notify = "NEVER" }},
		{"-RFULL", "", func(c *sendmailCall) { c.ret = "FULL" }},
		{"-V|id 1+2=3", "", func(c *sendmailCall) { c.envid = "id 1+2=3" }},
		{"-B|7bit", "", nil},
		{"-h|3", "", func(c *sendmailCall) { c.hops = 3 }},
		{"-em|-ep|-eq|-ee|-ew|-n|-m|-s|-U|-G|-Ac|-A|m|-L|tag|-odq|-o8", "", nil},
		{"-X|/tmp/log|-O|DeliveryMode=b|-d8.100|-a|work", "-X -O -d -a", nil},
		{"-zfeve@example.org", "-zfeve@example.org", nil}, // not a sender
		{"-iz", "-z", func(c *sendmailCall) { c.dotEnds = false }},
		{"-é", "-é", nil},
		{"--read-recipients", "", func(c *sendmailCall) { c.fromHeader = true }},
	} {
		got, ignored, err := parseSendmail("sendmail", append(strings.Split(tt.args, "|"), to...))
		want := sendmailDefault(tt.want)
		want.rcpts = to
		if err != nil || !reflect.DeepEqual(got, want) || strings.Join(ignored, " ") != tt.ignored {
			t.Errorf("%s:\n got %+v, ignored %q, %v\nwant %+v, ignored %q", tt.args, got, ignored, err, want, tt.ignored)
		}
	}
}

func TestSendmailModes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, args string
		mode       sendmailMode
		queue      string
	}{
		{"sendmail", "-bp", sendmailMailq, ""},
		{"mailq", "", sendmailMailq, ""},
		{"mailq", "-v -Ac", sendmailMailq, ""},
		{"mailq", "-q", sendmailFlush, ""},
		{"newaliases", "", sendmailNothing, ""},
		{"sendmail", "-bi", sendmailNothing, ""},
		{"sendmail", "-I", sendmailNothing, ""},
		{"sendmail", "-bs", sendmailDialogue, ""},
		{"sendmail", "-q", sendmailFlush, ""},
		{"sendmail", "-q15m", sendmailFlush, "15m"},
		{"sendmail", "-qf", sendmailFlush, "f"},
		{"sendmail", "-vq", sendmailFlush, ""},
		{"sendmail", "-qRexample.org", sendmailFlush, "Rexample.org"},
	} {
		got, _, err := parseSendmail(tt.name, strings.Fields(tt.args))
		if err != nil || got.mode != tt.mode || got.queue != tt.queue {
			t.Errorf("%s %s: %v %q, %v; want %v %q", tt.name, tt.args, got.mode, got.queue, err, tt.mode, tt.queue)
		}
	}
}

// TestT84SendmailUsage has calls that would leave something undone; they must not
// end with 0.
func TestT84SendmailUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, args, err string }{
		{"sendmail", "", "no recipient"},
		{"sendmail", "-i --", "no recipient"},
		{"sendmail", "-t -f", "option -f needs a value"},
		{"sendmail", "-tF", "option -F needs a value"},
		{"sendmail", "-X", "option -X needs a value"},
		{"sendmail", "-o", "option -o needs a value"},
		{"sendmail", "-bd -q15m", "there is no -bd"},
		{"sendmail", "-bv bob@example.org", "there is no -bv"},
		{"sendmail", "-q bob@example.org", "flushing the queue takes no recipients: \"bob@example.org\""},
		{"sendmail", "-bs bob@example.org", "an SMTP dialogue takes no recipients"},
		{"mailq", "bob@example.org", "showing the queue takes no recipients"},
		{"newaliases", "-t", "option -t is not for rebuilding aliases"},
		{"sendmail", "--account work bob@example.org", "unknown option \"--account\""},
		{"sendmail", "-N never,delay x", "option -N: \"never,delay\" is neither"},
		{"sendmail", "-N failure, x", "option -N"},
		{"sendmail", "-R body x", "option -R: \"body\" is neither full nor hdrs"},
		{"sendmail", "-V " + strings.Repeat("x", 101) + " x", "option -V"},
		{"sendmail", "-V ü x", "option -V"},
		{"sendmail", "-B BINARYMIME x", "option -B"},
		{"sendmail", "-h -1 x", "option -h: \"-1\" is no number of hops"},
		{"sendmail", "-h 101 x", "in a loop"},
	} {
		got, _, err := parseSendmail(tt.name, strings.Fields(tt.args))
		var usage usageError
		if err == nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s %s: %+v, %v; want the usage error %q", tt.name, tt.args, got, err, tt.err)
		}
	}
}

func TestT72SendmailControlCharacters(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\r", "\n", "\x00", "\t", "\x1b", "\x7f", "\u0085"} {
		for _, args := range [][]string{
			{"a" + bad + "Bcc: eve@example.org"},
			{"--", "-x", "a@example.org" + bad},
			{"-f", "a@example.org>" + bad + "RCPT TO:<eve@example.org", "bob"},
			{"-fa" + bad, "bob"}, {"-F", "Ada" + bad, "bob"}, {"-FAda" + bad, "bob"},
			{"-C", bad, "bob"}, {"-V", bad, "bob"}, {"-X", bad, "bob"}, {"-i" + bad, "bob"},
		} {
			got, _, err := parseSendmail("sendmail", args)
			if err == nil {
				t.Errorf("%q: taken as %+v", args, got)
			} else if strings.Contains(err.Error(), bad) {
				t.Errorf("%q: the error has the character in it: %q", args, err)
			}
		}
	}
}

// TestT73SendmailLeadingDash: behind -- or a first recipient nothing is an option.
func TestT73SendmailLeadingDash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, rcpts string }{
		{"-i -- -t", "-t"},
		{"-- -feve@example.org -C/tmp/x", "-feve@example.org -C/tmp/x"},
		{"-- --", "--"},
		{"-- |cmd :include:/etc/passwd", "|cmd :include:/etc/passwd"},
		{"bob@example.org -t", "bob@example.org -t"},
		{"bob@example.org -- -f", "bob@example.org -- -f"},
		{"-", "-"},
	} {
		got, ignored, err := parseSendmail("sendmail", strings.Fields(tt.args))
		want := sendmailCall{dotEnds: !strings.HasPrefix(tt.args, "-i"), rcpts: strings.Fields(tt.rcpts)}
		if err != nil || len(ignored) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, ignored %q, %v; want %+v", tt.args, got, ignored, err, want)
		}
	}
}

func TestT75SendmailLoneDot(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4096) // as long as what is read at once
	for _, tt := range []struct {
		args     string
		terminal bool
		in, want string
	}{
		{"-i", true, "a\n.\nb\n", "a\n.\nb\n"},
		{"-oi", true, "a\n.\nb\n", "a\n.\nb\n"},
		{"-bm", false, "a\n.\nb\n", "a\n.\nb\n"},
		{"-bm", false, ".", "."},
		{"-bm", true, "a\n.\nb\n", "a\n"},
		{"-bm", true, "a\r\n.\r\nb\r\n", "a\r\n"},
		{"-bm", true, ".\n", ""},
		{"-bm", true, "a\n.b\n..\n.\n", "a\n.b\n..\n"},
		{"-bm", true, "a\n .\n. \nb", "a\n .\n. \nb"},
		{"-bm", true, long + ".\nb\n.\nc", long + ".\nb\n"},
		{"-bm", true, long + long + ".\nb", long + long + ".\nb"},
		{"-bm", true, "", ""},
	} {
		call, _, err := parseSendmail("sendmail", []string{tt.args, "bob@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(call.input(strings.NewReader(tt.in), tt.terminal))
		if string(got) != tt.want || err != nil {
			t.Errorf("%s, terminal %v, input %.20q: %.20q of %d octets, %v; want %.20q of %d", tt.args, tt.terminal, tt.in, got, len(got), err, tt.want, len(tt.want))
		}
	}
	failing := io.MultiReader(strings.NewReader("a\n"), brokenInput{})
	if got, err := io.ReadAll(sendmailDefault(nil).input(failing, true)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a broken input: %q, %v", got, err)
	}
}

type brokenInput struct{}

func (brokenInput) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzSendmailArgs(f *testing.F) {
	for _, seed := range []string{
		"-oem|-oi|--|bob@example.org", "-FCronDaemon|-i|-odi|-oem|-oi|-t|-f|<>", "-q15m", "-bs", "-zfx|a", "--read-envelope-from|a",
		"-f", "-N|failure,delay|-R|hdrs|-V|x|x", "-h|7|--|-t", "-t|-é", "a\nb", "-F|a\u0085|x",
	} {
		f.Add("sendmail", seed)
		f.Add("mailq", seed)
	}
	f.Fuzz(func(t *testing.T, name, joined string) {
		args := strings.Split(joined, "|")
		call, ignored, err := parseSendmail(name, args)
		if err != nil {
			var usage usageError
			if !errors.As(err, &usage) || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("%q: %T %q", args, err, err)
			}
			return
		}
		values := append(slices.Concat(call.rcpts, ignored), call.from, call.fullName, call.config, call.queue, call.envid, call.notify, call.ret)
		for _, v := range values {
			if strings.ContainsFunc(v, unicode.IsControl) {
				t.Fatalf("%q: the value %q got through", args, v)
			}
		}
		if n := len(call.rcpts); n > 0 && !slices.Equal(call.rcpts, args[len(args)-n:]) {
			t.Fatalf("%q: the recipients %q are not what comes last", args, call.rcpts)
		}
		if call.mode == sendmailDeliver && len(call.rcpts) == 0 && !call.fromHeader {
			t.Fatalf("%q: a message to nobody", args)
		}
		// What is put behind -- can only be a recipient.
		if len(call.rcpts) == 0 && call.mode == sendmailDeliver {
			behind := append([]string{"--", "-f", "-bp"}, args...)
			more, _, err := parseSendmail(name, append(slices.Clone(args), behind...))
			if err != nil || len(more.rcpts) < len(behind)-1 || !slices.Equal(more.rcpts[len(more.rcpts)-len(behind)+1:], behind[1:]) || more.from != call.from {
				t.Fatalf("%q and %q: %+v, %v", args, behind, more, err)
			}
		}
	})
}
