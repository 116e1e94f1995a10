import { useState } from "react";
import { useDefaultRenderTool, useFrontendTool } from "@copilotkit/react-core/v2";
import { z } from "zod";

/** A tool of the page: the agent calls it, the page acts, and the agent goes on with what the handler gave back. */
export function useColorTool() {
  const [color, setColor] = useState("transparent");
  useFrontendTool({
    name: "setColor",
    description: "Colours the top of the page",
    parameters: z.object({ color: z.string().describe("A CSS colour") }),
    handler: async ({ color }) => {
      setColor(color);
      return `The page is ${color} now`;
    },
  });
  // Every call shows in the chat, with its arguments and result.
  useDefaultRenderTool();
  return color;
}
