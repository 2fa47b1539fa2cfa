// Lets fdatasync.go declare functions without a body.
