package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuidesCommandsParse sees that every command of ours in the README and the guides is one: there is such a command, with such
// flags, and as many arguments. Nothing is run: TestGuides does that, where it can.
func TestGuidesCommandsParse(t *testing.T) {
	guides, err := filepath.Glob(filepath.Join("..", "..", "docs", "guides", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for _, path := range append(guides, filepath.Join("..", "..", "README.md")) {
		g, err := readGuide(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range g.commands {
			words := wordsOf(line)
			if words[0] != "ingot" {
				continue
			}
			parsed++
			if err := parses(words[1:]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(path), line, err)
			}
		}
	}
	if parsed < 100 {
		t.Errorf("%d commands were found: the blocks of guides are not understood", parsed)
	}
}

func TestParses(t *testing.T) {
	for line, ok := range map[string]bool{
		"ramdisk build --out /var/lib/ingot/ramdisk":            true,
		"ramdisk build --data /var/lib/ingot":                   false,
		"ramdisk bild":                                          false,
		"ramdisk":                                               false,
		"node rescue n1 --generate --wait":                      true,
		"node rescue --generate":                                false,
		"node rescu n1":                                         false,
		"node set n1 --maintenance on --reason 'a fan -- dead'": true,
		"db backup ingot-$(date +%F).db":                        true,
		"peer invite boot1 --roles boot > token":                true,
	} {
		if err := parses(wordsOf(line)); (err == nil) != ok {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// parses finds the command and reads its flags and arguments.
func parses(words []string) error {
	c, rest, err := root().Find(words)
	if err != nil {
		return err
	}
	if c.HasSubCommands() || !c.Runnable() {
		return fmt.Errorf("%s is no command by itself, and has none that is named so", c.CommandPath())
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	return c.ValidateRequiredFlags()
}

var substitution = regexp.MustCompile(`\$\([^)]*\)`)

// wordsOf divides a line as a shell does, as far as guides go: quotes, and what follows the command (a pipe, a file) left out.
func wordsOf(line string) []string {
	line = substitution.ReplaceAllString(line, "X")
	var words []string
	var quote rune
	word, begun := "", false
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote != 0:
			word += string(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case strings.ContainsRune("|;&<>#", r) && word == "":
			return words
		case r == ' ':
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	if begun {
		words = append(words, word)
	}
	return words
}
