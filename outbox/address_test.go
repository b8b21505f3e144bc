package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// list writes addresses with | between them.
func list(all []Address) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " | ")
}

func TestAddressList(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// RFC 5322 appendix A
		{`John Doe <jdoe@machine.example>`, "jdoe@machine.example"},
		{`Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>`, "mary@x.test | jdoe@example.org | one@y.test"},
		{`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`, "boss@nil.test | sysservices@example.net"},
		{`A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;`, "c@a.test | joe@where.test | jdoe@one.test"},
		{`Undisclosed recipients:;`, ""},
		{`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`, "pete@silly.test"},
		{"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)", "c@public.example | joe@example.org | jdoe@one.test"},
		{`(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;`, ""},
		{`Joe Q. Public <john . doe@example . org>`, "john.doe@example.org"},
		{`Mary Smith <@node.test:mary@example.net>, , jdoe@test . example`, "mary@example.net | jdoe@test.example"},
		// groups and separators
		{`a:;;;;`, ""},
		{`,,a@b,, ;,`, "a@b"},
		{`a@b; c@d;`, "a@b | c@d"},
		{`g: a@b, c@d`, "a@b | c@d"},
		{`g: a@b; h: c@d;, e@f`, "a@b | c@d | e@f"},
		{`g: a@b; e@f`, "a@b | e@f"},
		// missing commas
		{`a@b c@d`, "a@b | c@d"},
		{`A <a@b> C <c@d>`, "a@b | c@d"},
		{`<a@b> c@d`, "a@b | c@d"},
		// names
		{`x@y <real@z>`, "real@z"},
		{`"x@y" <real@z>`, "real@z"},
		{`=?utf-8?q?Smith,_John?= <j@x>`, "j@x"},
		{`=?utf-8?b?U21pdGgsIEpvaG4==?= <j@x>, k@x`, "j@x | k@x"},
		{`=?utf-8?q?Smith,_J=?= <j@x>`, "j@x"},
		{`=?utf-8?q?a?=  =?utf-8?q?b?= <j@x>`, "j@x"},
		{`[Dev Team] Bob <b@x>, [List] <c@x>`, "b@x | c@x"},
		{`Bob :) <b@x>`, "b@x"},
		{`~{Mu@v~} <b@x>`, "b@x"},
		{`张三 <z@例子.cn>`, "z@xn--fsqu00a.cn"},
		{"latin \xe9 <z@x>", "z@x"},
		{`O'Brien. <o'brien@x>`, "o'brien@x"},
		{`root, "Bob B." <b@x>`, "root | b@x"},
		{`root, <b@x>, c@x`, "root | b@x | c@x"},
		// routes
		{`<@a,@b:x@y>`, "x@y"},
		{`<@a,,@[192.0.2.1]:x@y>`, "x@y"},
		// local parts
		{`"a b"@x`, `"a b"@x`},
		{`"ab"@x, "a.b"@x, a."b"@x`, `ab@x | a.b@x | a.b@x`},
		{`"a\"b\\c"@x`, `"a\"b\\c"@x`},
		{`"a\b"@x`, `ab@x`},
		{"\"a\r\n b\"@x", `"a b"@x`},
		{`a..b@x, .a@x, a.@x`, `"a..b"@x | ".a"@x | "a."@x`},
		{`""@x`, `""@x`},
		{`用户@例子.cn`, "用户@xn--fsqu00a.cn"},
		{`a@X.Example.ORG.`, "a@x.example.org"},
		{`A@x, a@x`, "A@x | a@x"},
		{`a@[192.0.2.1], a@[ipv6:2001:DB8::1]`, "a@[192.0.2.1] | a@[IPv6:2001:db8::1]"},
		{`a+b=c/d!e%f@x`, "a+b=c/d!e%f@x"},
		// bare local names
		{`root`, "root"},
		{`<root> (me), www-data, jo.smith`, "root | www-data | jo.smith"},
		{`root (Cron Daemon)`, "root"},
		{``, ""},
		{" \t ", ""},
	} {
		got, err := parseAddresses("the To: field holds", c.text)
		if err != nil || list(got) != c.want {
			t.Errorf("%s\n gives %s, want %s (%v)", c.text, list(got), c.want, err)
		}
	}
}

// TestNotAnAddress refuses what has no certain meaning, and says where it stands.
func TestNotAnAddress(t *testing.T) {
	for _, c := range []struct{ text, shown string }{
		{`a@b, John Smith, c@d`, `"John Smith", which is no mail address`},
		{`Smith, John <j@x>`, `"Smith, John <j@x>", which has a comma in what looks like one name`},
		{`a@b, Smith, John Q. <j@x>, c@d`, `"Smith, John Q. <j@x>"`},
		{`a@b <c@d> e`, `"a@b <c@d> e"`},
		{`a@x B <b@y>`, `an address inside a name, or a comma too few`},
		{`B a@x <b@y>`, `an address inside a name, or a comma too few`},
		{`a@b, <>`, `"<>", which is no mail address`},
		{`a@b (never closed, c@d`, `comment that is not closed`},
		{`a@b "never closed, c@d`, `quotation mark that is not closed`},
		{`a@b <c@d, e@f`, `"a@b <c@d, e@f"`},
		{`a@b> , c@d`, `"a@b>"`},
		{`<<a@b>>`, `"<<a@b>>"`},
		{`<a@b, c@d>`, `"<a@b, c@d>"`},
		{`<@a x@y>`, ""}, {`<@:x@y>`, ""}, {`<@a,b:x@y>`, ""},
		{`a@`, `"a@"`}, {`@b`, `"@b"`}, {`a@b@c`, `"a@b@c"`}, {`a@b c`, ""}, {`c a@b`, ""},
		{`a b@c`, ""}, {`a@b..c`, ""}, {`a@.b`, ""}, {`a@-b`, ""}, {`a@b-.c`, ""}, {`a@b c@d e`, ""},
		{`a@b!c`, ""}, {`a@b/c`, ""}, {`a@[b]`, ""}, {`a@[192.0.2.1`, ""}, {`a@[192.0.2.1].x`, ""}, {`a@[IPv6:192.0.2.1]`, ""}, {`a@[IPv6:fe80::1%eth0]`, ""},
		{`a\b@c`, ""}, {`"a"b@c`, ""}, {"a@b\xff", ""}, {"\xff@b", ""}, {"a\u202eb@c", ""}, {"a\u00a0b@c", ""}, {`a)@c`, ""},
		{"x@" + strings.Repeat("a", 64), ""}, {strings.Repeat("a", 250) + "@b.cc", ""}, {"x@" + strings.Repeat("a.", 200) + "b", ""},
		{`a: b: c@d;;`, ""}, {`a@b: c@d;`, ""}, {`:a@b`, ""},
		{`a@` + "\u2100.org", ""}, // a compatible form of a/c
		{`张三`, ""},
		{strings.Repeat("(", 33) + strings.Repeat(")", 33) + "a@b", "32 deep"},
	} {
		got, err := parseAddresses("the To: field holds", c.text)
		var r *Refusal
		switch {
		case !errors.As(err, &r):
			t.Errorf("%s gives %q and %v, want a Refusal", c.text, list(got), err)
		case !strings.HasPrefix(r.Problem, "the To: field holds \"") || r.Remedy == "" || !strings.Contains(r.Problem, c.shown) || len(r.Problem) > 250:
			t.Errorf("%s gives %v, want %s in it", c.text, err, c.shown)
		}
	}
}

// TestT72NoControlCharacterPasses brings line ends and NUL into every place of
// an address: none comes out.
func TestT72NoControlCharacterPasses(t *testing.T) {
	for _, shape := range []string{`a%sb@c`, `"a%sb"@c`, `a@b%sc`, `a@b (%s)`, `"%s" <a@b>`, `%sa@b`, `a@b%s`, `g%s: a@b;`, `<a@b>%s`, `"a\%sb"@c`, `a@[1%s.2.3.4]`} {
		for _, c := range []string{"\r", "\n", "\r\n", "\x00", "\r\nRCPT TO:<x@y>", "\x1b", "\x7f"} {
			text := fmt.Sprintf(shape, c)
			if got, err := ParseAddresses("-f", text); err == nil {
				t.Errorf("the argument %q gives %q", text, list(got))
			}
			got, err := parseAddresses("the To: field holds", text)
			if fold := strings.HasPrefix(c, "\n") || strings.HasPrefix(c, "\r\n"); err == nil && !fold {
				t.Errorf("the field %q gives %q", text, list(got))
			}
			if out := list(got); strings.ContainsAny(out, c) && strings.ContainsAny(out, "\r\n\x00\x1b\x7f") {
				t.Errorf("%q comes out of %q", out, text)
			}
		}
	}
}

// TestT73NoAddressIsACommand reads what other programs have run, opened or
// taken for an option: it stays an address to the letter, or is refused.
func TestT73NoAddressIsACommand(t *testing.T) {
	for text, want := range map[string]string{
		`-oQ/tmp@example.org`:           `-oQ/tmp@example.org`,
		`|cmd@example.org`:              `|cmd@example.org`,
		`"|cmd arg"@example.org`:        `"|cmd arg"@example.org`,
		`${run{x}}@example.org`:         `${run{x}}@example.org`,
		"`cmd`$(x)@example.org":         "`cmd`$@example.org", // (x) is a comment
		`-f`:                            ``,
		`--`:                            ``,
		`|cmd`:                          ``,
		`"|cmd"`:                        ``,
		`<|cmd>`:                        ``,
		`/etc/passwd`:                   ``,
		`../x`:                          ``,
		`:include:/etc/passwd`:          ``,
		`":include:/etc/passwd"`:        ``,
		`include:/etc/passwd`:           ``,
		`":include:/etc/passwd"@host.a`: `":include:/etc/passwd"@host.a`,
		`a@b> SIZE=1 FOO=<c@d`:          ``,
		`"a@b> SIZE=1"@c`:               `"a@b> SIZE=1"@c`,
		`;cmd`:                          ``,
		`a@-cmd`:                        ``,
		`a@b;cmd -x`:                    ``,
	} {
		got, err := ParseAddresses("the argument", text)
		if want == "" && err == nil && text != `;cmd` {
			t.Errorf("%s gives %s", text, list(got))
		}
		if want != "" && list(got) != want {
			t.Errorf("%s gives %s (%v), want %s", text, list(got), err, want)
		}
	}
	// A semicolon stands between addresses; what is behind it is a name like another.
	if got, _ := ParseAddresses("the argument", ";cmd"); list(got) != "cmd" {
		t.Errorf(";cmd gives %s", list(got))
	}
}

func TestParseAddress(t *testing.T) {
	if a, err := ParseAddress("-f", "Ada <ada@example.org>"); err != nil || a != (Address{"ada", "example.org"}) {
		t.Errorf("%v, %v", a, err)
	}
	for _, text := range []string{"", "a@b, c@d", "<>", "a b"} {
		if a, err := ParseAddress("-f", text); err == nil || !strings.HasPrefix(err.Error(), "-f is ") {
			t.Errorf("%q gives %v, %v", text, a, err)
		}
	}
	for _, text := range []string{"", "<>", " <> "} {
		if a, err := ParseReversePath("-f", text); err != nil || a != (Address{}) || a.IsBare() {
			t.Errorf("%q gives %v, %v", text, a, err)
		}
	}
	if a, err := (Address{Local: "root"}).At("Bücher.example"); err != nil || a.String() != "root@xn--bcher-kva.example" {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := (Address{Local: "root"}).At(""); err == nil {
		t.Error("no domain completes a bare name")
	}
	if !(Address{"用户", "x"}).IsUTF8() || (Address{"u", "x"}).IsUTF8() {
		t.Error("IsUTF8")
	}
}

// TestT74ListsInLinearTime reads lists that have made mail programs hang.
func TestT74ListsInLinearTime(t *testing.T) {
	for _, piece := range []string{"a:;", ";", ",", "(", "()", "(()", "\"", "\"\"", "<", "<>", ">", "@", "[", "[]", "=?", "=?,", "=?=?a?q?=", "\\", "a ", "a@b ", "a@b,", "a@", "@a,", "<@a", "a.", ". ", "\"\".", "<a@b>", "<a@b> c@d ", "a@b c <", "a, ", "x@y z "} {
		for _, front := range []string{"", "a:", "<", "\"", "(", "a@"} {
			atMost(t, front+"..."+piece, func() { parseAddresses("x", front+strings.Repeat(piece, (64<<10)/len(piece))) })
		}
	}
}

func TestT74TenThousandRecipients(t *testing.T) {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "\"Recipient, %d\" <r%d@example.org>,\r\n ", i, i)
	}
	got, err := parseAddresses("x", b.String())
	if err != nil || len(got) != 10_000 || got[9_999].Local != "r9999" {
		t.Errorf("%d addresses, %v", len(got), err)
	}
}

// TestT95AddressListIsBounded reads lists that would fill the memory.
func TestT95AddressListIsBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("a ", 100_000), "<" + strings.Repeat("@,", 100_000), strings.Repeat("a@b,", 100_000)} {
		if _, err := parseAddresses("x", text); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%.10s... gives %v", text, err)
		}
	}
}

// FuzzAddressList checks that whatever comes out is fit for RCPT and stands for
// itself.
func FuzzAddressList(f *testing.F) {
	for _, seed := range []string{
		`a:;;;;`, `Smith, John <j@x>`, `<@a,@b:x@y>`, `"a b"@x (c(d)e) f@g;`, `=?utf-8?q?a,b?= <c@例子.cn>`, `a@[IPv6:::1], root, .a..@b.`, "a@b\r\n c@d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseAddresses("x", text)
		if err != nil {
			if line := err.Error(); strings.ContainsAny(line, "\r\n\x00") || len(line) > 500 {
				t.Fatalf("error %q", line)
			}
			return
		}
		for _, a := range all {
			s := a.String()
			if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(s) > pathMost {
				t.Fatalf("%q gives %q", text, s)
			}
			if again, err := ParseAddresses("x", s); err != nil || !slices.Equal(again, []Address{a}) {
				t.Fatalf("%q gives %q, which gives %q, %v", text, s, again, err)
			}
			if again, err := ParseAddresses("x", "<"+s+">"); err != nil || !slices.Equal(again, []Address{a}) {
				t.Fatalf("%q gives %q, which in brackets gives %q, %v", text, s, again, err)
			}
		}
	})
}
