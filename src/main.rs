//! The program `copilotkit-runtime`; everything is in [`copilotkit_runtime::server`].

fn main() -> std::process::ExitCode {
    copilotkit_runtime::server::main()
}
