package mailtest

import (
	"encoding/base64"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Sizes of generated messages: log-normal with a median of 8 KB and a mean of
// about 40 KB, cut at 5 MB.
const (
	medianSize = 8 << 10
	sizeSpread = 1.794 // standard deviation of the logarithm
	largest    = 5 << 20
)

// Generate returns n messages: the octets of [Generated], named gen-00001 and on.
func Generate(seed uint64, n, max int) []Message {
	messages := make([]Message, 0, n)
	for i, octets := range Generated(seed, n, max) {
		messages = append(messages, Message{Name: fmt.Sprintf("gen-%05d", i), Octets: octets})
	}
	return messages
}

// Generated yields n messages that look like everyday mail, numbered from 1,
// with LF at the line ends; each slice is the caller's own. No two are the
// same: each has its own Message-ID, and its number in the field X-Test-Id.
// Sizes follow a log-normal distribution with a median of 8 KB, cut at max
// octets or, if max is 0, at 5 MB; a few hundred octets of header are always
// there. The same seed gives the same messages, whatever n is.
func Generated(seed uint64, n, max int) iter.Seq2[int, []byte] {
	if max <= 0 || max > largest {
		max = largest
	}
	return func(yield func(int, []byte) bool) {
		for i := 1; i <= n; i++ {
			g := &generator{Rand: rand.New(rand.NewPCG(seed, uint64(i)))}
			if !yield(i, g.message(seed, i, max)) {
				return
			}
		}
	}
}

// generator writes one message.
type generator struct {
	*rand.Rand
	out []byte
}

func (g *generator) message(seed uint64, number, max int) []byte {
	size := int(medianSize * math.Exp(g.NormFloat64()*sizeSpread))
	size = min(size, max)
	g.out = make([]byte, 0, size+1024)
	g.header(seed, number)
	switch kind := g.IntN(20); {
	case kind < 7:
		g.out = append(g.out, "\n"...)
		g.text(size, asciiWords, 72)
	case kind < 11:
		g.out = append(g.out, "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"...)
		g.text(size, wideWords, 72)
	case kind < 13: // paragraphs on one line each
		g.out = append(g.out, "MIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n"...)
		g.text(size, asciiWords, 900)
	case kind < 17:
		g.alternative(size, number)
	default:
		g.attachment(size, number)
	}
	return g.out
}

func (g *generator) header(seed uint64, number int) {
	from, to := g.person(), g.person()
	start := time.Date(2025, 1, 1, 8, 0, 0, 0, time.UTC)
	date := start.Add(time.Duration(number)*7*time.Minute + time.Duration(g.IntN(60))*time.Second)
	for hop := range 1 + g.IntN(3) {
		g.printf("Received: from relay%d.example.net (relay%d.example.net [192.0.2.%d])\n\tby mx.example.org with ESMTPS id %08x;\n\t%s\n",
			hop, hop, 1+g.IntN(250), g.Uint32(), date.Add(-time.Duration(hop)*time.Second).Format(time.RFC1123Z))
	}
	g.printf("From: %s\nTo: %s\n", from, to)
	words := asciiWords
	if g.IntN(4) == 0 {
		words = wideWords
	}
	subject := g.words(words, 2+g.IntN(6))
	g.printf("Subject: %s\n", mime.QEncoding.Encode("utf-8", subject))
	g.printf("Date: %s\nMessage-ID: <%d.%d.%08x@generated.example.org>\n", date.Format(time.RFC1123Z), seed, number, g.Uint32())
	g.printf("X-Test-Id: %d\n", number)
	if g.IntN(3) == 0 {
		g.printf("List-Id: <%s.lists.example.com>\nPrecedence: list\n", asciiWords[g.IntN(len(asciiWords))])
	}
}

// text adds lines of about width octets until the message has size octets.
// Some begin with a dot or with "From ", which a careless hand would change.
func (g *generator) text(size int, words []string, width int) {
	for {
		start := len(g.out)
		switch g.IntN(40) {
		case 0:
			g.out = append(g.out, '.')
		case 1:
			g.out = append(g.out, "From "...)
		case 2:
			g.out = append(g.out, '\n')
		case 3:
			g.out = append(g.out, "> "...)
		case 4:
			g.out = append(g.out, ".\n..\n"...)
		}
		for len(g.out)-start < width && len(g.out) < size {
			g.out = append(g.out, words[g.IntN(len(words))]...)
			g.out = append(g.out, ' ')
		}
		g.out = append(g.out, '\n')
		if len(g.out) >= size {
			return
		}
	}
}

// alternative is plain text beside quoted-printable HTML.
func (g *generator) alternative(size, number int) {
	boundary := fmt.Sprintf("=_alt_%d_%08x", number, g.Uint32())
	g.printf("MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=%q\n\n", boundary)
	g.printf("--%s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n", boundary)
	g.text(len(g.out)+(size-len(g.out))/3, wideWords, 72)
	g.printf("--%s\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n", boundary)
	var html strings.Builder
	encoder := quotedprintable.NewWriter(&html)
	for len(g.out)+html.Len() < size-64 {
		_, _ = fmt.Fprintf(encoder, "<p style=\"color: #%06x\">%s</p>\n", g.IntN(1<<24), g.words(wideWords, 30))
	}
	_ = encoder.Close() // a strings.Builder does not fail
	g.out = append(g.out, strings.ReplaceAll(html.String(), "\r\n", "\n")...)
	g.printf("\n--%s--\n", boundary)
}

// attachment is a short text and base64 lines.
func (g *generator) attachment(size, number int) {
	boundary := fmt.Sprintf("----=_mixed_%d_%08x", number, g.Uint32())
	g.printf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%q\n\nThis text is for readers without MIME.\n", boundary)
	g.printf("--%s\nContent-Type: text/plain; charset=us-ascii\n\n", boundary)
	g.text(min(len(g.out)+400, size), asciiWords, 72)
	g.printf("--%s\nContent-Type: application/octet-stream; name=\"data-%d.bin\"\nContent-Transfer-Encoding: base64\n"+
		"Content-Disposition: attachment; filename=\"data-%d.bin\"\n\n", boundary, number, number)
	var line [57]byte
	for len(g.out) < size-80 {
		for i := 0; i < len(line); i += 8 {
			v := g.Uint64()
			for j := i; j < min(i+8, len(line)); j++ {
				line[j] = byte(v)
				v >>= 8
			}
		}
		g.out = base64.StdEncoding.AppendEncode(g.out, line[:])
		g.out = append(g.out, '\n')
	}
	g.printf("--%s--\n", boundary)
}

func (g *generator) printf(format string, args ...any) {
	g.out = fmt.Appendf(g.out, format, args...)
}

func (g *generator) words(words []string, n int) string {
	chosen := make([]string, n)
	for i := range chosen {
		chosen[i] = words[g.IntN(len(words))]
	}
	return strings.Join(chosen, " ")
}

func (g *generator) person() string {
	name := givenNames[g.IntN(len(givenNames))]
	domain := []string{"example.org", "example.com", "example.net"}[g.IntN(3)]
	return fmt.Sprintf("%s <%s.%d@%s>", name, strings.ToLower(name), g.IntN(100), domain)
}

var (
	givenNames = strings.Fields("Ada Bert Clara Dora Emil Frida Gustav Hanna Ida Jonas Karla Ludwig Mira Nils Olga Paul")
	asciiWords = strings.Fields(`the a and of to in is that it for on with as this be at by from or an are we can will
		not one all more new time day week letter harbour garden window river bridge lantern winter summer bread
		report meeting number answer question paper copy server queue folder message header body line number
		please thank send read write open close carry keep find give take bring sorry later today tomorrow`)
	wideWords = append(strings.Fields(`Straße grün Übung Käse größer Ärger naïve café déjà œuvre niño mañana søndag
		blåbær příliš žluťoučký kůň ação coração дом письмо вечер река 你好 邮件 今天 会议 附件 こんにちは 手紙 안녕 편지
		😀 📎 — … € ½`), asciiWords...)
)
