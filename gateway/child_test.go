package gateway

// childEnv starts the test binary as a helper process; see runChild.
const childEnv = "SLUICE_TEST_CHILD"

// runChild is the body of a helper process.
func runChild(string) int { return 2 }
