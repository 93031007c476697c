"""The version, in a module that imports nothing: `import mnistcore` reads it."""

VERSION = "0.1.0"
