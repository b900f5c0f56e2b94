// common.go -- what the programs for Go share. How they are called stands in run.py.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

const many = 10000 // commands in one pipeline

type capability struct {
	name   string
	show   func() // nil: the library does not have it
	remark string
}

var server string // address and port

func fail(format string, values ...interface{}) {
	panic(fmt.Sprintf(format, values...))
}

func short(value interface{}) string {
	return fmt.Sprintf("%.300s", fmt.Sprintf("%#v", value))
}

func equal(got, want interface{}) {
	if !reflect.DeepEqual(got, want) {
		fail("got %s, not %s", short(got), short(want))
	}
}

func succeeds(err error) {
	if err != nil {
		fail("%v", err)
	}
}

// between checks both ends, which may be reached.
func between(got, low, high int64) {
	if got < low || got > high {
		fail("%d is not between %d and %d", got, low, high)
	}
}

func until(condition func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			fail("not within 20 s")
		}
	}
}

func allBytes() (up, down []byte) {
	for i := 0; i < 256; i++ {
		up = append(up, byte(i))
		down = append(down, byte(255-i))
	}
	return
}

func oneMB() string {
	var text strings.Builder
	for i := 0; i < 1<<17; i++ {
		fmt.Fprintf(&text, "%08x", i)
	}
	return text.String()
}

func padded(i int) string {
	return fmt.Sprintf("%01000d", i)
}

// field finds one field of the line of CLIENT LIST for the connection of this name.
func field(list, name, wanted string) string {
	for _, line := range strings.Split(list, "\n") {
		if strings.Contains(line, " name="+name+" ") {
			for _, part := range strings.Fields(line) {
				if strings.HasPrefix(part, wanted+"=") {
					return part[len(wanted)+1:]
				}
			}
		}
	}
	return ""
}

// restarted has the server restarted.
func restarted() {
	fmt.Println("RESTART")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	succeeds(err)
}

func run(capabilities []capability) {
	for _, c := range capabilities {
		if len(os.Args) == 1 {
			fmt.Println(map[bool]string{true: "+", false: "-"}[c.show != nil], c.name, c.remark)
		} else if c.name == os.Args[2] {
			server = "127.0.0.1:" + os.Args[1]
			c.show()
		}
	}
}
