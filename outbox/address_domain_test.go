package outbox

import "testing"

// TestPunycode has the samples of RFC 3492 section 7.1 that are of one case.
func TestPunycode(t *testing.T) {
	for text, want := range map[string]string{
		"ليهمابتكلموشعربي؟":            "egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":                    "ihqwcrb4cv8a8dqg056pqjye",
		"他們爲什麽不說中文":                    "ihqwctvzc91f659drss3x8bo0yb",
		"почемужеонинеговорятпорусски": "b1abfaaepdrnnbgefbadotcwatmq2g4l",
		"세계의모든사람들이한국어를이해한다면얼마나좋을까":     "989aomsvi5e83db1d2a355cv1e0vak1dwrv93d5xbh15a0dt30a5jpsd879ccm6fea98c",
		"3年b組金八先生":                     "3b-ww4c5e180e575a65lsy2b",
		"そのスピードで":                      "d9juau41awczczp",
		"-> $1.00 <-":                  "-> $1.00 <--",
	} {
		if got := punycode(text); got != want {
			t.Errorf("%s gives %s, want %s", text, got, want)
		}
	}
}

func TestDomain(t *testing.T) {
	for domain, want := range map[string]string{
		"Example.ORG": "example.org", "example.org.": "example.org", "localhost": "localhost", "my_host.x": "my_host.x", "192.0.2.1": "192.0.2.1",
		"bücher.example": "xn--bcher-kva.example", "BÜCHER.Example": "xn--bcher-kva.example", "bu\u0308cher.example": "xn--bcher-kva.example",
		"faß.de": "xn--fa-hia.de", "中国": "xn--fiqs8s", "例え。テスト": "xn--r8jz45g.xn--zckzah", "ｅｘａｍｐｌｅ．ｏｒｇ": "example.org",
		"XN--FIQS8S": "xn--fiqs8s", "नेपाल.com": "xn--l2bey1c2b.com", "[192.0.2.1]": "[192.0.2.1]", "[IPV6:2001:DB8:0:0::1]": "[IPv6:2001:db8::1]",
	} {
		if got, ok := asciiDomain(domain); !ok || got != want {
			t.Errorf("%s gives %s, %v, want %s", domain, got, ok, want)
		}
	}
	for _, domain := range []string{
		"", ".", "a..b", ".a", "a-.b", "-a", "a b", "a/b", "a\x00b", "a@b", "❤.ws", "\u0301a.org", "a\u00adb.org", "a\u200bb.org", "a\ufe0f.org",
		"xn--ü.org", "ü-.org", "-ü.org", "\xff.org", "a\u2488b.org", "[192.0.2.1", "[192.0.2.256]", "[::1]", "[IPv6:192.0.2.1]", "[]", "[tag:x]",
	} {
		if got, ok := asciiDomain(domain); ok {
			t.Errorf("%q gives %q", domain, got)
		}
	}
}
