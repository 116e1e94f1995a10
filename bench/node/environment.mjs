// Imported first: the runtime reads these when it is loaded.
process.env.NODE_ENV ??= "production";
process.env.COPILOTKIT_TELEMETRY_DISABLED ??= "true";
