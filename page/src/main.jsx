import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "@copilotkit/react-core/v2/styles.css";
import "./page.css";
import { Gate } from "./Gate";

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Gate />
  </StrictMode>,
);
