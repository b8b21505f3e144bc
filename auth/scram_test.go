package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// scramServerSide is the library's server as a sasl.Server: one more empty
// response is read after its proof, as POP3, IMAP and SMTP have it.
type scramServerSide struct{ conversation *scram.ServerConversation }

func (s *scramServerSide) Next(response []byte) ([]byte, bool, error) {
	if s.conversation.Done() {
		return nil, true, nil
	}
	challenge, err := s.conversation.Step(string(response))
	return []byte(challenge), false, err
}

func scramServer(t *testing.T, hash scram.HashGeneratorFcn, user, password string) sasl.Server {
	t.Helper()
	client, err := hash.NewClientUnprepped(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: minIterations})
	if err != nil {
		t.Fatal(err)
	}
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != user {
			return scram.StoredCredentials{}, fmt.Errorf("no user %q", name)
		}
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &scramServerSide{server.NewConversation()}
}

func testSCRAM(t testing.TB, name, nonce string) *scramClient {
	t.Helper()
	c, err := newSCRAM(name, "user", "pencil", nonce)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	nonce1     = "fyko+d2lbbFgONRv9qkxdawL"
	server1    = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
	proof1     = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
	wrongProof = "C: error: verify server: its proof of knowing the password is wrong; it may not be the server it says it is"
)

func TestSCRAMSHA1Vector(t *testing.T) { // RFC 5802 section 5
	c := testSCRAM(t, scramSHA1, nonce1)
	play(t, bounded{c}, `
		C: n,,n=user,r=`+nonce1+`
		S: `+server1+`
		C: `+proof1+`
		S: v=rmF9pqV8S7suAoZWja4dJRkFsKQ=
		C:
		S:
		C: error: log in with SCRAM-SHA-1: `+unexpected)
	if err := Finished(bounded{c}); err != nil {
		t.Error(err)
	}
}

func TestSCRAMSHA256Vector(t *testing.T) { // RFC 7677 section 3
	c := testSCRAM(t, scramSHA256, "rOprNGfwEbeRWgbNEkqO")
	play(t, bounded{c}, `
		C: n,,n=user,r=rOprNGfwEbeRWgbNEkqO
		S: r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096
		C: c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=
		S: v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
		C:`)
	if err := Finished(bounded{c}); err != nil {
		t.Error(err)
	}
}

// A client sends its initial response ahead and compares it later.
func TestSCRAMStartIsRepeatable(t *testing.T) {
	c := testSCRAM(t, scramSHA256, "")
	_, first, _ := c.Start()
	_, second, err := c.Start()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("Start() twice: %q and %q, %v", first, second, err)
	}
	other := testSCRAM(t, scramSHA256, "")
	if _, third, _ := other.Start(); bytes.Equal(first, third) {
		t.Errorf("two clients have the nonce in common: %q", third)
	}
}

func TestT63SCRAMServerProof(t *testing.T) {
	for _, final := range []string{
		"v=rmF9pqV8S7suAoZWja4dJRkFsKU=", "v=" + strings.Repeat("A", 27) + "=", "v=", "v", "", "ok", "x=1,v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		"v=rmF9pqV8S7suAoZWja4dJRkF", "v=!", server1,
	} {
		c := testSCRAM(t, scramSHA1, nonce1)
		play(t, c, strings.Join([]string{
			"C: n,,n=user,r=" + nonce1, "S: " + server1, "C: " + proof1, strings.TrimSpace("S: " + final), wrongProof,
			// Once refused, the right proof comes too late.
			"S: v=rmF9pqV8S7suAoZWja4dJRkFsKQ=", "C: error: log in with SCRAM-SHA-1: " + unexpected,
		}, "\n"))
		checkError(t, Finished(bounded{c}), true, "without proving")
	}
}

func TestT63SCRAMServerFirst(t *testing.T) {
	const salt = ",s=QSXCR+Q6sek8bf92"
	for _, c := range []struct {
		message   string
		permanent bool
		want      string
	}{
		{"", false, "lacks a field"},
		{"r=" + nonce1 + "x", false, "lacks a field"},
		{"r=" + nonce1 + "x" + salt, false, "lacks a field"},
		{"m=x,r=" + nonce1 + "x" + salt + ",i=4096", false, "extension"},
		{"s=QSXC,r=" + nonce1 + "x,i=4096", false, "not r, s and i"},
		{"r=" + salt + ",i=4096", false, "nonce"},
		{"r=" + nonce1 + salt + ",i=4096", false, "nonce does not go on"},
		{"r=" + nonce1[1:] + "x" + salt + ",i=4096", false, "nonce does not go on"},
		{"r=x" + nonce1 + salt + ",i=4096", false, "nonce does not go on"},
		{"r=" + nonce1 + " x" + salt + ",i=4096", false, "visible ASCII"},
		{"r=" + nonce1 + "\x1b[2J" + salt + ",i=4096", false, "visible ASCII"},
		{"r=" + nonce1 + "x,s=,i=4096", false, "salt"},
		{"r=" + nonce1 + "x,s=QSX,i=4096", false, "salt"},
		{"r=" + nonce1 + "x,s=QSXC\r\nR+Q6,i=4096", false, "salt"},
		{"r=" + nonce1 + "x" + salt + ",i=", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=0", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=04096", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=+4096", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=-1", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=4096 ", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=٤٠٩٦", false, "not a number"},
		{"r=" + nonce1 + "x" + salt + ",i=1", true, "1 rounds only"},
		{"r=" + nonce1 + "x" + salt + ",i=4095", true, "4095 rounds only"},
		{"r=" + nonce1 + "x" + salt + ",i=1000001", true, "more than 1000000 rounds"},
		{"r=" + nonce1 + "x" + salt + ",i=2147483648", true, "more than 1000000 rounds"},
		{"r=" + nonce1 + "x" + salt + ",i=" + strings.Repeat("9", 60000), true, "more than 1000000 rounds"},
		{"e=unknown-user", true, `the server refused: "unknown-user"`},
		{"e=no-resources", false, `the server refused: "no-resources"`},
		{"e=\x1b[2J\r\n", true, `the server refused: "\x1b[2J\r\n"`},
	} {
		client := testSCRAM(t, scramSHA1, nonce1)
		if _, _, err := client.Start(); err != nil {
			t.Fatal(err)
		}
		response, err := client.Next([]byte(c.message))
		if response != nil {
			t.Errorf("%q: answered with %q", c.message, response)
		}
		checkError(t, err, c.permanent, c.want)
		if _, err := client.Next([]byte(server1)); err == nil {
			t.Errorf("%q: answered a second challenge after it", c.message)
		}
	}
}

// A million rounds are still computed; extensions after them are not minded.
func TestSCRAMMostIterations(t *testing.T) {
	client := testSCRAM(t, scramSHA1, nonce1)
	if _, _, err := client.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Next([]byte("r=" + nonce1 + "x,s=QSXCR+Q6sek8bf92,i=1000000,x=y,z=a,b")); err != nil {
		t.Error(err)
	}
}

func TestSCRAMServerError(t *testing.T) {
	play(t, testSCRAM(t, scramSHA1, nonce1), `
		C: n,,n=user,r=`+nonce1+`
		S: `+server1+`
		C: `+proof1+`
		S: e=invalid-proof
		C: error: log in with SCRAM-SHA-1: the server refused: "invalid-proof"`)
}

func TestSCRAMNextBeforeStart(t *testing.T) {
	if _, err := testSCRAM(t, scramSHA1, nonce1).Next([]byte(server1)); err == nil {
		t.Error("Next before Start gave no error")
	}
}

// SASLprep (RFC 4013) maps what it knows, and what it refuses goes as it is.
func TestT65SCRAMPreparation(t *testing.T) {
	for password, sent := range map[string]string{
		"I\u00adX": "IX", "\u2168": "IX", "a\u00a0b": "a b", "pässwörd": "pässwörd", // RFC 4013 section 3, and NFKC
		"key 🔑": "key 🔑", "\u0627\u0031": "\u0627\u0031", "\xff\xfe": "\xff\xfe",
	} {
		c, err := newSCRAM(scramSHA1, "us=er,1", password, nonce1)
		if err != nil {
			t.Errorf("%q: %v", password, err)
			continue
		}
		server := scramServer(t, scram.SHA1, "us=er,1", sent)
		_, response, err := c.Start()
		if want := "n,,n=us=3Der=2C1,r=" + nonce1; string(response) != want {
			t.Errorf("first message is %q, want %q", response, want)
		}
		for done := false; !done && err == nil; {
			var challenge []byte
			if challenge, done, err = server.Next(response); err == nil && !done {
				response, err = c.Next(challenge)
			}
		}
		if err != nil || !c.Verified() {
			t.Errorf("%q: the server with password %q refuses: %v", password, sent, err)
		}
	}
}

// Any server-first that passes is one that the library understands alike: its
// proof is made from the very salt and rounds that were checked.
func FuzzServerFirst(f *testing.F) {
	for _, seed := range []string{
		server1, "r=" + nonce1 + "x,s=QSXC,i=4096,x=y", "m=1,r=a,s=b,i=1", "r=,s=,i=", "e=other-error", "r=ab,s=QQ==,i=99999999999999999999", "r=ab,s=QQ==,i=9999999", "r=ab,s=QQ==,i=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, message string) {
		first, err := parseServerFirst(message)
		if err != nil {
			return
		}
		if first.iterations < 1 || first.iterations > maxIterations+1 || first.nonce == "" || len(first.salt) == 0 {
			t.Fatalf("parseServerFirst(%q) = %+v", message, first)
		}
		if first.iterations > 5000 {
			return // takes long to compute
		}
		client, err := scram.SHA1.NewClientUnprepped("user", "pencil", "")
		if err != nil {
			t.Fatal(err)
		}
		client.WithMinIterations(1).WithNonceGenerator(func() string { return first.nonce[:1] })
		conversation := client.NewConversation()
		if _, err := conversation.Step(""); err != nil {
			t.Fatal(err)
		}
		got, err := conversation.Step(message)
		if want := clientFinal(t, first, message); err != nil || got != want {
			t.Fatalf("the library answers %q with\n%q, %v\nwant\n%q", message, got, err, want)
		}
	})
}

// clientFinal computes RFC 5802 section 3 from what our parser has read.
func clientFinal(t *testing.T, first serverFirst, message string) string {
	t.Helper()
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha1.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	salted, err := pbkdf2.Key(sha1.New, "pencil", first.salt, first.iterations, sha1.Size)
	if err != nil {
		t.Fatal(err)
	}
	final := "c=biws,r=" + first.nonce
	proof := mac(salted, "Client Key")
	stored := sha1.Sum(proof)
	subtle.XORBytes(proof, proof, mac(stored[:], "n=user,r="+first.nonce[:1]+","+message+","+final))
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof)
}
