package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/gateway/testkit"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(herdEnv); spec != "" {
		if err := runHerd(spec, os.Stdout); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	if spec := os.Getenv(stormEnv); spec != "" {
		os.Exit(runStorm(spec, os.Stdout))
	}
	if child := os.Getenv(childEnv); child != "" {
		os.Exit(runChild(child))
	}
	if os.Getenv(commandEnv) != "" {
		os.Exit(runCommand())
	}
	left := testkit.Watch(libraryGoroutines...)
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Println("the browser did not close by itself:", err)
	}
	if report := left(); code == 0 && len(report) > 0 {
		fmt.Println("tests have left goroutines behind:\n" + strings.Join(report, "\n"))
		code = 1
	}
	os.Exit(code)
}
