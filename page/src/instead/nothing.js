// In place of what the page never loads: CopilotKit's inspector, and KaTeX's styles.
export {};
