package test

import (
	"fmt"
	"os"
	"testing"
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
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Println("the browser did not close by itself:", err)
	}
	os.Exit(code)
}
